"""A folder in which a model's files lie under the names that they have in the package, for as long as it is tried."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packhouse.worker.models.parts import SourceFile
from packhouse.worker.storage.local import OpenFile
from packhouse.worker.storage.readable import Readable, must_be_as_planned, read_full
from packhouse.worker.storage.sink import FileSink
from packhouse.worker.storage.storage import Storage

_PREFIX: Final = "packhouse-check-"
_CHUNK: Final = 4 << 20
_MOST_LINKS: Final = 512
_FICLONE: Final = 0x40049409
_LEFT_BEHIND: Final = 60
"""Seconds after which a folder that nobody has locked is nobody's."""


class NotLaidOut(Exception):
    """The files cannot be laid out here; the text is a clause that says why."""


@dataclass(frozen=True)
class Laid:
    """Files of a model, laid out."""

    root: str
    """The folder; the names of the files are relative to it."""
    descriptors: tuple[int, ...]
    """Open files that links in the folder lead to: whoever reads there must have them, under their numbers."""
    real: tuple[str, ...]
    """Names of files of this machine that an error might name: not for messages."""
    files: tuple[Readable, ...]

    @property
    def changed(self) -> str | None:
        """What has happened to one of the files since it was opened, as a clause."""
        for file in self.files:
            what = file.changed()
            if what is None and isinstance(file, OpenFile) and not os.fstat(file.fd).st_nlink:
                what = "it was removed"
            if what is not None:
                return f"{file.shown}: {what}"
        return None


@contextmanager
def laid_out(
    files: Sequence[SourceFile],
    main: str,
    storage: Storage,
    *,
    scratch: str | None,
    most_copied: int,
    advance: Callable[[int], None],
) -> Generator[Laid]:
    """Lay files out below a new folder of ``scratch`` (default: the system's), which is gone afterwards.

    Of local files nothing is copied: links in the folder lead to the descriptors by which they were opened, and what is
    read is what was opened, whatever has become of its path. ONNX Runtime takes that for a model whose external data
    lie, all links resolved, in or below the folder of ``main``. Where they do not, where a file lies in a blob, and
    where there are very many, files are cloned or copied. Hard links are not made: others would see them on the files.

    Raises ``NotLaidOut`` where more than ``most_copied`` bytes would be copied and where the folder cannot be written,
    and what ``Storage.open_file`` and reading raise; ``model_changed`` for what is not as it was found.
    """
    with ExitStack() as stack:
        opened: dict[str, Readable] = {}
        for file in files:
            readable = stack.enter_context(storage.open_file(file.location))
            must_be_as_planned(readable, file.size, file.mark)
            opened[file.relative] = readable
        try:
            root = stack.enter_context(_folder(scratch))
            real = {os.path.dirname(file.real) for file in opened.values() if isinstance(file, OpenFile)}  # noqa: PTH120
            names = tuple(sorted({file.real for file in opened.values()} | real, key=len, reverse=True))
            if _can_be_linked(opened, main):
                descriptors = tuple(_link(root, opened))
            else:
                _copy_all(root, opened, most_copied, advance)
                descriptors = ()
        except OSError as error:
            raise NotLaidOut(f"the scratch folder does not take its files ({error.strerror})") from None
        yield Laid(root, descriptors, names, tuple(opened.values()))


def _can_be_linked(opened: dict[str, Readable], main: str) -> bool:
    if sys.platform != "linux":
        return False
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if len(opened) > min(_MOST_LINKS, soft // 2):
        return False
    home = f"{opened[main].real.rpartition('/')[0]}/"
    return all(isinstance(file, OpenFile) and file.real.startswith(home) for file in opened.values())


def _link(root: str, opened: dict[str, Readable]) -> Generator[int]:
    for relative, file in opened.items():
        if isinstance(file, OpenFile):
            _place(root, relative).symlink_to(f"/proc/self/fd/{file.fd}")
            yield file.fd


def _copy_all(root: str, opened: dict[str, Readable], most: int, advance: Callable[[int], None]) -> None:
    left = {relative: file for relative, file in opened.items() if not _cloned(_place(root, relative), file)}
    total = sum(file.size for file in left.values())
    if total > most:
        raise NotLaidOut(f"{total} bytes of it would have to be copied to try it, and the limit is {most}")
    for relative, file in left.items():
        file.read_ahead()
        buffer = memoryview(bytearray(min(_CHUNK, file.size)))
        with _place(root, relative).open("wb") as copy:
            sink = FileSink(copy.fileno())
            for at in range(0, file.size, _CHUNK):
                chunk = read_full(file, buffer[: min(_CHUNK, file.size - at)], at)
                sink.write(chunk)
                advance(len(chunk))


def _cloned(place: Path, file: Readable) -> bool:
    """Whether the file could be made to share its bytes, as some file systems can."""
    if not isinstance(file, OpenFile) or sys.platform != "linux":
        return False
    with place.open("wb") as clone:
        try:
            fcntl.ioctl(clone.fileno(), _FICLONE, file.fd)
        except OSError:
            return False
    return True


def _place(root: str, relative: str) -> Path:
    place = Path(root, relative)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def _folder(scratch: str | None) -> Generator[str]:
    """A new folder. It is locked while it is in use, so that one left behind by a killed process is known as such."""
    above = Path(scratch or tempfile.gettempdir())
    _remove_left_behind(above)
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=above)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)


def _remove_left_behind(above: Path) -> None:
    for folder in above.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                status = os.fstat(fd)
                if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _LEFT_BEHIND:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(fd)
