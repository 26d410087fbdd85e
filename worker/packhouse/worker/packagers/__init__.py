"""Packaging types. Each is one module; other distributions add theirs by the entry point ``packhouse.packagers``."""
