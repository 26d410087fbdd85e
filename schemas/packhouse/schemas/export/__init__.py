"""The contract for readers in other languages: JSON Schema of every document, and AsyncAPI for the queues."""

from packhouse.schemas.export.files import exported_files, write

__all__ = ["exported_files", "write"]
