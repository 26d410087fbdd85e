"""A file that is read in pieces, wherever it lies."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker.storage.failures import said


class Readable(Protocol):
    """A file, open for reading; closed when its ``with`` ends."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def mark(self) -> str:
        """Another one when the file has been written to since: a time, or the tag that a blob's service gives."""
        ...

    @property
    def real(self) -> str:
        """What it is, however it was named: equal for two openings of one file. Not for messages."""
        ...

    @property
    def shown(self) -> str:
        """What the event's sender calls it."""
        ...

    def readinto(self, buffer: memoryview, at: int) -> int:
        """Read bytes from a place on into a buffer: some at least, 0 only at the end. Returns how many.

        Raises ``PermanentError`` (``model_changed``, ``model_missing``, ``model_unreadable``) and ``TransientError``.
        """
        ...

    def read_ahead(self) -> None:
        """From now on it is read from beginning to end, in order."""
        ...

    def changed(self) -> str | None:
        """What has happened to the file since it was opened, as a clause; None where its bytes are still the same.

        A file whose ``readinto`` raises as soon as the bytes are others need not look again.
        """
        ...

    def identity(self) -> str | None:
        """What names its very bytes on this machine, as they are now; None where nothing can be told from it.

        Law: where it is the same before and after they were read, these are the bytes of whatever else has it.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def read_full(source: Readable, buffer: memoryview, at: int) -> memoryview:
    """Fill the buffer, however little comes at a time. Raises ``model_changed`` where the file ends before."""
    done = 0
    while done < len(buffer):
        count = source.readinto(buffer[done:], at + done)
        if count == 0:
            raise model_changed(source, f"it ends after {at + done} bytes")
        done += count
    return buffer


def must_be_unchanged(source: Readable) -> None:
    """Raises ``PermanentError`` (``model_changed``) where the file is no longer as it was opened."""
    what = source.changed()
    if what is not None:
        raise model_changed(source, what)


def must_be_as_planned(source: Readable, size: int, mark: str) -> None:
    """Raises ``PermanentError`` (``model_changed``) where a file is another than the one that a plan was made for."""
    if (source.size, source.mark) != (size, mark):
        raise PermanentError(
            ErrorCode.MODEL_CHANGED,
            f"{said(source.shown)} was written to while its package was being made.",
            fix="Once nothing writes to the models any more, packhouse retry; --stage-to copies them first.",
        )


def model_changed(source: Readable, what: str) -> PermanentError:
    """The error for a file that does not stay as it is while it is packaged."""
    return PermanentError(
        ErrorCode.MODEL_CHANGED,
        f"{said(source.shown)} changed while it was being packaged: {source.size} bytes were announced, {what}.",
        fix="Once nothing writes to the models any more, packhouse retry; --stage-to copies them first.",
    )
