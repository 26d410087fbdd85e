"""A platform and a Python version: what wheels fit there, and what their metadata's conditions mean there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from packaging.markers import Marker

# A wheel that runs on an older system is preferred, as far as there is one.
_GLIBC: Final = (*range(28, 4, -1), *range(29, 45))
_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "linux_x86_64": (
        *(f"manylinux_2_{minor}_x86_64" for minor in _GLIBC),
        "manylinux2014_x86_64",
        "manylinux2010_x86_64",
        "manylinux1_x86_64",
    ),
    "linux_aarch64": (*(f"manylinux_2_{minor}_aarch64" for minor in _GLIBC), "manylinux2014_aarch64"),
    # pip adds the tags of every older macOS.
    "macosx_arm64": ("macosx_15_0_arm64",),
    "macosx_x86_64": ("macosx_15_0_x86_64",),
}
_SYSTEMS: Final = {
    "win": {"os_name": "nt", "sys_platform": "win32", "platform_system": "Windows"},
    "macosx": {"os_name": "posix", "sys_platform": "darwin", "platform_system": "Darwin"},
    "linux": {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux"},
}
_MACHINES: Final = {"win_amd64": "AMD64", "win_arm64": "ARM64", "win32": "x86"}
_UNIX_MACHINES: Final = ("x86_64", "aarch64", "arm64", "armv7l", "i686", "ppc64le", "s390x", "riscv64")


@dataclass(frozen=True, order=True)
class Target:
    """``platform`` as in the settings, a name of ours or a platform tag of wheels; ``python`` such as ``3.11``."""

    platform: str
    python: str

    @property
    def tags(self) -> tuple[str, ...]:
        """The platform tags of wheels that fit, the best first. Format: PEP 425, PEP 600."""
        return _ALIASES.get(self.platform, (self.platform,))

    @property
    def environment(self) -> dict[str, str]:
        """The markers of PEP 508 as they are there; pip knows only those of the interpreter that it runs in."""
        system = next((each for name, each in _SYSTEMS.items() if self.platform.startswith(name)), _SYSTEMS["linux"])
        machine = next((each for each in _UNIX_MACHINES if self.platform.endswith(each)), "")
        return {
            **system,
            "platform_machine": _MACHINES.get(self.platform, machine),
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "platform_release": "",
            "platform_version": "",
        }

    def applies(self, marker: Marker | None, extras: frozenset[str]) -> bool:
        """Whether a requirement with this marker is one there, for a package that is wanted with these extras."""
        if marker is None:
            return True
        return any(marker.evaluate({**self.environment, "extra": extra}) for extra in sorted({"", *extras}))

    def __str__(self) -> str:
        return f"Python {self.python} on {self.platform}"
