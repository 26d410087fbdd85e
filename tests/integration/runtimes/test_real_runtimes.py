"""Real wheels, from the index that pip is configured with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from packaging.utils import parse_wheel_filename
from support.cache import cache_root
from support.runtimes import gathered, install, unpacked

from packhouse.schemas.files import RuntimeLock
from packhouse.worker.package.tree import Made
from packhouse.worker.settings import Settings

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

VERSION: Final = "1.20.1"
HERE: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
ASK: Final = """
import onnxruntime, numpy
from onnxruntime.capi.onnxruntime_pybind11_state import get_available_providers
print(onnxruntime.__version__, *get_available_providers())
"""


def settings(**more: object) -> Settings:
    """What was fetched once is kept between runs of the tests."""
    cache = str(cache_root() / "runtime-packages")
    return Settings.model_validate({"cache_dir": cache, "runtime_source": "index", "runtime_dependencies": True} | more)


def lock_of(package: Path) -> RuntimeLock:
    return RuntimeLock.model_validate_json((package / "ONNXRuntimePackages" / "packages.lock.json").read_bytes())


def test_a_packed_runtime_is_installed_without_a_network_and_runs(tmp_path: Path) -> None:
    chosen = settings(runtime_pythons=(HERE,))
    result = gathered(chosen, f"onnxruntime=={VERSION}")
    package = unpacked(result, chosen, tmp_path / "package")
    python = install(package, tmp_path / "venv")
    done = subprocess.run([python, "-I", "-c", ASK], capture_output=True, text=True, check=True, timeout=60)
    version, *providers = done.stdout.split()
    assert version == VERSION
    assert "CPUExecutionProvider" in providers


def test_real_wheels_for_two_platforms_and_two_pythons(tmp_path: Path) -> None:
    chosen = settings(runtime_platforms=("linux_x86_64", "win_amd64"), runtime_pythons=("3.11", "3.12"))
    package = unpacked(gathered(chosen, "onnxruntime==1.18.1"), chosen, tmp_path / "package")
    files = lock_of(package).files
    runtimes = [file for file in files if file.name == "onnxruntime"]
    assert {(target.platform, target.python) for file in runtimes for target in file.targets} == {
        (platform, python) for platform in ("linux_x86_64", "win_amd64") for python in ("3.11", "3.12")
    }
    for file in runtimes:
        _, version, _, tags = parse_wheel_filename(file.file.rpartition("/")[2])
        (target,) = file.targets
        assert str(version) == "1.18.1"
        assert {tag.interpreter for tag in tags} == {f"cp{target.python.replace('.', '')}"}
        assert all(("win" in tag.platform) == (target.platform == "win_amd64") for tag in tags)
    needed = {file.name: file for file in files if file.dependency}
    assert {target.platform for target in needed["pyreadline3"].targets} == {"win_amd64"}
    assert int(needed["numpy"].version.partition(".")[0]) < 2
    for file in files:
        assert (package / "ONNXRuntimePackages" / file.file).stat().st_size == file.size


def test_a_version_that_was_never_released_is_told() -> None:
    result = gathered(settings(), "onnxruntime==1.20.999")
    assert result.warnings[-1] == "onnxruntime 1.20.999 for Python 3.11 on linux_x86_64: There is no such wheel."
    assert all(isinstance(entry, Made) for entry in result.entries.values())
