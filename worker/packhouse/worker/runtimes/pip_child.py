"""pip in a process that dies with its parent and writes no file beyond a size: run by ``pip``, never imported by it.

``pip_child PARENT BYTES ARGUMENT…``, the arguments as pip takes them.
"""

from __future__ import annotations

import resource
import runpy
import sys

from packhouse.worker.parent import die_with


def main() -> None:
    """Never returns: pip exits."""
    parent, most = int(sys.argv[1]), int(sys.argv[2])
    die_with(parent)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv = ["pip", *sys.argv[3:]]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
