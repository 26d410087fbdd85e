"""C++ compiled against headers from npm and run with the library of the ``onnxruntime`` wheel that is installed."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Final

import onnxruntime
from support.cache import cached
from support.npm import npm_package

_HEADERS: Final = "Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers"
_WARNINGS: Final = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror")


def runtime_root() -> Path:
    """A folder with ``include`` and ``lib`` of ONNX Runtime. The headers must be no newer than the library."""
    [library] = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    headers = npm_package("com.github.asus4.onnxruntime", "0.4.9") / _HEADERS
    key = hashlib.sha256(f"{library}\0{headers}".encode()).hexdigest()[:12]

    def link(folder: Path) -> None:
        (folder / "lib").mkdir()
        (folder / "include").symlink_to(headers)
        for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
            (folder / "lib" / name).symlink_to(library)

    return cached(f"cpp/onnxruntime-{library.name.rpartition('.so.')[2]}-{key}", link)


def build_sample(folder: Path) -> Path:
    """The program of the C++ sample in ``folder``, compiled once for each distinct source. Fails for any warning."""
    root = runtime_root()
    sources = sorted([*folder.glob("*.cpp"), *folder.glob("*.hpp")])
    digest = hashlib.sha256(str(root).encode())
    for source in sources:
        digest.update(source.read_bytes())

    def compile_into(out: Path) -> None:
        library = [f"-L{root / 'lib'}", "-lonnxruntime", f"-Wl,-rpath,{root / 'lib'}"]
        command = ["g++", "-std=c++17", *_WARNINGS, "-isystem", f"{root / 'include'}", str(folder / "main.cpp")]
        done = subprocess.run(
            [*command, "-o", str(out / "sample"), *library], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr

    return cached(f"cpp/sample-{digest.hexdigest()[:16]}", compile_into) / "sample"
