"""SHA-256 of model files, computed once in a run whatever its packages are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from packhouse.worker.ledger import Notebook
from packhouse.worker.ledger.turns import alone
from packhouse.worker.packagers.base import Progress
from packhouse.worker.storage.digest import Hasher
from packhouse.worker.storage.readable import Readable, must_be_unchanged, read_full

_CHUNK: Final = 4 << 20


def shared_digest(source: Readable, notebook: Notebook, progress: Progress) -> str:
    """The SHA-256 of an open file, from another package of the run where that has read it, or is reading it.

    Raises what reading raises, and ``model_changed``.
    """
    name = f"{source.real}\0{source.size}\0{source.mark}"
    known = notebook.digest(name)
    if known is None:
        with alone(notebook, f"digest {notebook.run} {name}", lambda: progress.advance(0)) as keep:
            known = notebook.digest(name)
            if known is None:

                def advance(count: int) -> None:
                    progress.advance(count)
                    keep()

                known = sha256_of(source, advance)
                notebook.keep_digest(name, known)
                return known
    progress.advance(source.size)
    return known


def sha256_of(source: Readable, advance: Callable[[int], None]) -> str:
    """The SHA-256 of an open file, read from beginning to end in constant memory."""
    if source.size <= _CHUNK:
        data = read_full(source, memoryview(bytearray(source.size)), 0)
        advance(source.size)
        return _unchanged(source, hashlib.sha256(data).hexdigest())
    source.read_ahead()
    buffers = [memoryview(bytearray(_CHUNK)) for _ in range(Hasher.BEHIND + 2)]
    with Hasher(threaded=True) as hasher:
        for number, at in enumerate(range(0, source.size, _CHUNK)):
            chunk = buffers[number % len(buffers)][: min(_CHUNK, source.size - at)]
            read_full(source, chunk, at)
            hasher.update(chunk)
            advance(len(chunk))
        return _unchanged(source, hasher.hexdigest())


def _unchanged(source: Readable, digest: str) -> str:
    must_be_unchanged(source)
    return digest
