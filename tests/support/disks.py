"""A disk of a worker's own: small, or one that fails, mounted where nobody else sees it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from support.farm import Worker


class Disk:
    """A folder that is a file system of its own for a worker that is started with ``enter`` before its command.

    For everyone else it stays the folder that it was. It is gone with the worker.
    """

    def __init__(self, folder: Path, mount: Sequence[str], *, unshare: str = "-rm") -> None:
        self.folder = folder
        self._mount = " ".join(["mount", *mount, str(folder)])
        folder.mkdir()
        self.enter = ["unshare", unshare, "sh", "-c", f'{self._mount} && exec "$@"', "sh"]

    def why_not(self) -> str | None:
        """Why it cannot be had here; None where it can."""
        needed = (self.enter[0], "mount")
        if missing := [name for name in needed if shutil.which(name) is None]:
            return f"a disk of its own takes {' and '.join(missing)}"
        tried = subprocess.run([*self.enter, "true"], capture_output=True, text=True, check=False)
        return f"no disk of its own can be mounted here: {tried.stderr.strip()}" if tried.returncode else None

    def seen_by(self, worker: Worker) -> Path:
        """The folder as the worker has it."""
        return Path(f"/proc/{worker.process.pid}/root{self.folder}")


class SmallDisk(Disk):
    """So many bytes in memory."""

    def __init__(self, folder: Path, size: int) -> None:
        super().__init__(folder, ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"])

    def free(self, worker: Worker) -> int:
        """Bytes."""
        found = os.statvfs(self.seen_by(worker))
        return found.f_bavail * found.f_frsize

    def fill(self, worker: Worker) -> Path:
        """Take all that is free; returns the file that holds it."""
        filler = self.seen_by(worker) / "filler"
        with filler.open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, self.free(worker))
        return filler


class FailingDisk(Disk):
    """An ext4 file system in a file, which takes nothing any more once its journal is broken. Takes root."""

    def __init__(self, folder: Path, size: int) -> None:
        image = folder.with_name(f"{folder.name}.ext4")
        super().__init__(folder, ["-o", "loop", str(image)], unshare="-m")
        self._image, self._size = image, size

    def why_not(self) -> str | None:
        """See ``Disk``."""
        if os.geteuid() != 0:
            return "a disk that fails takes root"
        if missing := [name for name in ("mkfs.ext4", "nsenter") if shutil.which(name) is None]:
            return f"a disk that fails takes {' and '.join(missing)}"
        self._image.touch()
        os.truncate(self._image, self._size)
        subprocess.run(["mkfs.ext4", "-q", str(self._image)], check=True)
        return super().why_not()

    def fail(self, worker: Worker) -> None:
        """From now on it can only be read, whoever has files open there for writing."""
        self._run(worker, f"mount -o remount,abort {self.folder}")

    def mend(self, worker: Worker) -> None:
        """Mounted anew, with what its journal holds."""
        self._run(worker, f"umount {self.folder} && {self._mount}")

    @staticmethod
    def _run(worker: Worker, command: str) -> None:
        enter = ["nsenter", "--target", str(worker.process.pid), "--mount", "--", "sh", "-c", command]
        subprocess.run(enter, check=True, capture_output=True)
