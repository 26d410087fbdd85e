"""pip in a process that dies with its parent and writes no file beyond a size: run by ``pip``, never imported by it.

``pip_child PARENT BYTES ARGUMENT…``, the arguments as pip takes them.
"""

from __future__ import annotations

import ctypes
import os
import resource
import runpy
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Never returns: pip exits."""
    parent, most = int(sys.argv[1]), int(sys.argv[2])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv = ["pip", *sys.argv[3:]]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
