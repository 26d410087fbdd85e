"""The packager itself, as a worker's process runs it: ``ours.py ROOT NAME MODEL...`` makes ``ROOT/out/NAME.zip``."""

from __future__ import annotations

import sys
from pathlib import Path

from probe import tell
from support.pouring import EngineStorage

ALONE = {"include_sample_code": False, "include_runtime_packages": False}

storage = EngineStorage(Path(sys.argv[1]))
event = storage.made_up(
    *({"model_path": storage.engine_path(Path(model))} for model in sys.argv[3:]),
    packages=[
        {"type": "Zipfile", "name": sys.argv[2], "include_sample_code": False, "include_runtime_packages": False}
    ],
)
tell(lambda: storage.pour(event))
