"""``python tether.py PARENT COMMAND…``: become COMMAND, and die with PARENT however it dies.

Linux kills the process when its parent ends, ``kill -9`` included (``PR_SET_PDEATHSIG``, which outlives ``exec``).
Elsewhere the command is merely run. The file stands alone, so that it starts in a bare interpreter within milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def become(parent: int, command: list[str]) -> None:
    """Replace this process by a command that dies with its parent. Exits with 1 where the parent is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 (to become the command is the purpose)


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
