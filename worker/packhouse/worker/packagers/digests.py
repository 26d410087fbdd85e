"""Digests of model files: computed once on a machine, and those of blobs once in a run, whatever its packages are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from isal import isal_zlib

from packhouse.worker.ledger import Notebook
from packhouse.worker.ledger.turns import alone
from packhouse.worker.metrics.recorder import recorder
from packhouse.worker.packagers.base import PackageJob
from packhouse.worker.storage.blob.opened import BLOB_IDENTITY
from packhouse.worker.storage.digest import FileDigest, Hasher
from packhouse.worker.storage.known import LEAST, Turn, turn
from packhouse.worker.storage.readable import Readable, must_be_unchanged, read_full

_CHUNK: Final = 4 << 20


@contextmanager
def digesting(job: PackageJob, source: Readable) -> Generator[Turn]:
    """One's turn at an open file that is read to its end: see ``turn``. The digests of blobs are the whole run's."""
    with turn(job.digests, source, lambda: job.progress.advance(0)) as mine:
        if mine.identity is not None and mine.identity.startswith(BLOB_IDENTITY):
            identity = mine.identity
            mine.known = mine.known or _noted(job.notebook, identity)
            mine.settled = lambda digest: _note(job.notebook, identity, digest)
        if source.size >= LEAST:
            recorder().cache("digests", hit=mine.known is not None)
        yield mine


def shared_digest(job: PackageJob, source: Readable) -> str:
    """The SHA-256 of an open file, from whoever of this machine or this run has read it, or is reading it.

    Raises what reading raises, and ``model_changed``.
    """
    with digesting(job, source) as mine:
        if mine.known is not None:
            job.progress.advance(source.size)
            return mine.known.sha256
        if mine.identity is None or not mine.identity.startswith(BLOB_IDENTITY):
            return _computed(mine, job.progress.advance)
        name = f"digest {job.notebook.run} {mine.identity}"
        with alone(job.notebook, name, lambda: job.progress.advance(0)) as keep:
            elsewhere = _noted(job.notebook, mine.identity)
            if elsewhere is not None:
                job.progress.advance(source.size)
                return elsewhere.sha256

            def advance(count: int) -> None:
                job.progress.advance(count)
                keep()

            return _computed(mine, advance)


def digest_of(source: Readable, advance: Callable[[int], None]) -> FileDigest:
    """The digests of an open file, read from beginning to end in constant memory. Raises as ``shared_digest``."""
    if source.size <= _CHUNK:
        digest = FileDigest.of(bytes(read_full(source, memoryview(bytearray(source.size)), 0)))
        advance(source.size)
        must_be_unchanged(source)
        return digest
    source.read_ahead()
    buffers = [memoryview(bytearray(_CHUNK)) for _ in range(Hasher.BEHIND + 2)]
    crc = 0
    with Hasher(threaded=True) as hasher:
        for number, at in enumerate(range(0, source.size, _CHUNK)):
            chunk = buffers[number % len(buffers)][: min(_CHUNK, source.size - at)]
            read_full(source, chunk, at)
            hasher.update(chunk)
            crc = isal_zlib.crc32(chunk, crc)
            advance(len(chunk))
        must_be_unchanged(source)
        return FileDigest(hasher.hexdigest(), crc, source.size)


def _computed(mine: Turn, advance: Callable[[int], None]) -> str:
    digest = digest_of(mine.source, advance)
    mine.settle(digest)
    return digest.sha256


def _noted(notebook: Notebook, identity: str) -> FileDigest | None:
    """What the run knows. Another version of Packhouse may have noted it in another form."""
    try:
        sha256, crc32, size = (notebook.digest(identity) or "").split(" ")
        return FileDigest(sha256, int(crc32, 16), int(size))
    except ValueError:
        return None


def _note(notebook: Notebook, identity: str, digest: FileDigest) -> None:
    notebook.keep_digest(identity, f"{digest.sha256} {digest.crc32:08x} {digest.size}")
