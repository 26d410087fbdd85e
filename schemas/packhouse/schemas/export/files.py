"""The exported files, as text by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from packhouse.schemas.export.asyncapi import asyncapi_document
from packhouse.schemas.export.documents import json_schemas


def exported_files() -> dict[str, str]:
    """Name to text of every file, a function of the code alone."""
    documents: dict[str, dict[str, Any]] = {f"{name}.schema.json": schema for name, schema in json_schemas().items()}
    documents["asyncapi.json"] = asyncapi_document()
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in documents.items()}


def write(folder: Path) -> list[Path]:
    """Write the files, and remove those of documents that are no more. Returns what is there now."""
    folder.mkdir(parents=True, exist_ok=True)
    files = exported_files()
    for stale in folder.glob("*.json"):
        if stale.name not in files:
            stale.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in sorted(files)]
