"""Processes for trials forked off one that has ONNX Runtime imported already, so that each trial need not import it."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from packhouse.worker.models.confine import Limits

LONGEST: Final = 1 << 16
"""Bytes of a message."""
MOST_FILES: Final = 250
"""So many open files can be passed on with one message: Linux takes 253, and three are the process' own."""

_SERVER: Final = "packhouse.worker.models.load_server"
_TICK: Final = 0.2
_ANSWERS: Final = 30.0
"""Seconds after which a server that does not answer is of no use any more. It answers in milliseconds."""


@dataclass(frozen=True)
class Forked:
    """A process that was forked for one model."""

    pid: int
    handle: int
    """A descriptor that can be read from once it has ended."""
    output: int
    errors: int


class Forker:
    """The server of this process. ``OSError`` and ``ValueError`` of any call mean: it is of no use any more."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_ANSWERS)
        with theirs:
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-m", _SERVER, str(fd), str(os.getpid())],
                env=dict(environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(fd,),
                start_new_session=True,
            )
        self._ready = False

    @staticmethod
    def takes(descriptors: Sequence[int]) -> bool:
        """Whether so many open files can be passed on."""
        return len(descriptors) <= MOST_FILES and all(fd > 2 for fd in descriptors)  # noqa: PLR2004 (standard ones)

    def wait(self, deadline: float, waiting: Callable[[], None]) -> None:
        """Until it has imported what it needs. ``waiting`` is called several times a second."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            while not self._ready:
                waiting()
                if selector.select(_TICK):
                    self._hear()
                    self._ready = True
                elif time.monotonic() > deadline:
                    raise TimeoutError

    def fork(self, request: Mapping[str, Any], limits: Limits, folder: str, descriptors: Sequence[int]) -> Forked:
        """Let a process do what ``load_child`` is asked for."""
        limits = replace(limits, parent=self._process.pid)
        order = json.dumps({"folder": folder, "limits": asdict(limits), "targets": list(descriptors)}).encode()
        if len(order) > LONGEST:
            raise ValueError("the names are too long")
        (output, out), (errors, err) = os.pipe(), os.pipe()
        try:
            with tempfile.TemporaryFile() as asked:
                asked.write(json.dumps(request).encode())
                asked.seek(0)
                socket.send_fds(self._channel, [order], [out, err, asked.fileno(), *descriptors])
                told, (handle,), _, _ = socket.recv_fds(self._channel, LONGEST, 1)
        except BaseException:
            os.close(output)
            os.close(errors)
            raise
        finally:
            os.close(out)
            os.close(err)
        return Forked(json.loads(told)["pid"], handle, output, errors)

    def reap(self) -> int:
        """The status of the process last forked, which has ended: negative for a signal."""
        self._channel.send(b"{}")
        return int(self._hear()["status"])

    def close(self) -> None:
        """End it, and what it has forked."""
        self._channel.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _hear(self) -> Mapping[str, Any]:
        told = self._channel.recv(LONGEST)
        if not told:
            raise ConnectionResetError
        return json.loads(told)
