"""Commands that the worker adds to ``packhouse``."""
