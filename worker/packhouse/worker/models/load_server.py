"""A process that has ONNX Runtime imported, and forks itself for each model to be tried: started by ``forking``.

It never opens a model, writes no file and reaches no network itself. What it has forked gives up all that a process of
its own would (``confine``) before it opens one, and comes of a process that no model has touched.

It is told by a message for each model, a JSON object ``{"folder", "limits", "targets"}`` with open files beside it:
for its output, its errors, the request, and those that are to have the numbers ``targets``. It answers
``{"pid": …}`` with a descriptor of the process beside it, and when it gets the next message, an empty object, with
``{"status": …}`` once the process has ended; until then nobody else gets its number.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from packhouse.worker.models import trial_run as _preloaded
from packhouse.worker.models.confine import Limits, confine, isolate
from packhouse.worker.models.forking import LONGEST, MOST_FILES
from packhouse.worker.models.load_child import attempt

_IDLE: Final = 300.0
"""Seconds without a model after which it ends, and its memory is free again."""


def _become(files: Sequence[int], targets: Sequence[int]) -> str:
    """Give the files their numbers; returns the request."""
    above = max((2, *targets)) + 1
    output, errors, request, *others = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in files)
    with os.fdopen(request) as text:
        asked = text.read()
    for source, target in ((output, 1), (errors, 2), *zip(others, targets, strict=True)):
        os.dup2(source, target)
        os.close(source)
    # What else is open, the way to the worker above all, is none of its business.
    for fd in {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, *targets}:  # noqa: PTH208 (numbers)
        with suppress(OSError):  # the descriptor of the listing itself
            os.close(fd)
    return asked


def _child(order: Mapping[str, Any], files: Sequence[int]) -> None:
    """What the forked process does; it does not return."""
    status = 1
    try:
        os.setsid()
        asked = _become(files, order["targets"])
        os.chdir(order["folder"])
        confine(Limits.of(order["limits"]))
        attempt(json.loads(asked))
        status = 0
    except BaseException:  # noqa: BLE001 -- it is told, and the process ends
        traceback.print_exc()
    finally:
        os._exit(status)


def _serve(channel: socket.socket) -> None:
    channel.settimeout(_IDLE)
    channel.send(json.dumps({"ready": _preloaded.__name__}).encode())
    while True:
        data, files, _, _ = socket.recv_fds(channel, LONGEST, MOST_FILES + 3)
        if not data:
            return
        pid = os.fork()
        if pid == 0:
            _child(json.loads(data), files)
        for fd in files:
            os.close(fd)
        handle = os.pidfd_open(pid)
        socket.send_fds(channel, [json.dumps({"pid": pid}).encode()], [handle])
        os.close(handle)
        channel.settimeout(None)
        if not channel.recv(LONGEST):
            return
        channel.settimeout(_IDLE)
        channel.send(json.dumps({"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}).encode())


def main() -> None:
    """``load_server DESCRIPTOR PARENT``: the socket's number, and the id of the process that it belongs to."""
    isolate(int(sys.argv[2]))
    import onnxruntime  # noqa: F401  # pyright: ignore[reportMissingTypeStubs, reportUnusedImport] -- for those forked

    gc.freeze()
    try:
        _serve(socket.socket(fileno=int(sys.argv[1])))
    except (TimeoutError, ConnectionError):
        return


if __name__ == "__main__":
    main()
