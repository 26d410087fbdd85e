"""Named points at which a test can hold a process, to kill it there.

Without ``PACKHOUSE_FAULT_DIR`` in the environment nothing happens. With it, a process that reaches a point for which
the folder has a file of that name leaves ``<name>.reached.<pid>`` beside it and waits until the file is gone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path


def reach(name: str) -> None:
    """Wait here as long as a test asks for it."""
    folder = os.environ.get("PACKHOUSE_FAULT_DIR")
    if not folder:
        return
    gate = Path(folder) / name
    if gate.exists():
        (gate.parent / f"{name}.reached.{os.getpid()}").touch()
        while gate.exists():
            time.sleep(0.02)
