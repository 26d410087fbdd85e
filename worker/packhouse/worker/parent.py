"""A process that does not outlive the one it works for."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> None:
    """Let the kernel end this process when its parent ends, however it ends. Elsewhere than on Linux it does nothing.

    ``parent`` is the process id that the parent had: it may have ended before the kernel was told, and then this
    process, which has another parent by now, ends at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
