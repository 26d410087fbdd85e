"""What the C# sample is built with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from packaging.version import Version

from packhouse.worker.runtimes.archives import nuget_version
from packhouse.worker.runtimes.table import BUILDS, CPU_BUILD, EXTENSIONS, NUGET
from packhouse.worker.runtimes.wanted import needs
from packhouse.worker.samples.model import SampleModel

_FIRST_WITH_VALUES: Final = Version("1.16.0")
"""The managed API has ``OrtValue`` since this version; the sample is not to be compiled with an older one."""


@dataclass(frozen=True)
class NugetPackage:
    """A reference to a package, as a project file has it."""

    id: str
    """From the table of runtime packages, never from an event."""
    version: str
    """In NuGet's normal form, or ``*`` for the newest, where the engine did not report a version."""


def nuget_packages(best: SampleModel) -> list[NugetPackage]:
    """The packages for the preferred execution provider, in the versions that the engine reported.

    They are those that a package holds below ``ONNXRuntimePackages/nuget``. Where the provider's build of ONNX Runtime
    is not among NuGet's packages, it is the CPU's build: the sample then says that the provider is missing, and runs.
    """
    preferred = best.execution_providers[:1]
    wanted = needs(best.packages, preferred, generative=False, extensions=best.use_ort_extensions)
    versions = {package.name: package.version for each in wanted.sets for package in each.packages}
    known = [name for provider in preferred for name in BUILDS.get(provider, ())]
    build = next((name for name in (*versions, *known) if name in NUGET and name != EXTENSIONS), CPU_BUILD)
    runtime = versions.get(build)
    if runtime is not None:
        runtime = max(runtime, _FIRST_WITH_VALUES)
    packages = [NugetPackage(NUGET[build], _version(runtime))]
    if best.use_ort_extensions:
        packages.append(NugetPackage(NUGET[EXTENSIONS], _version(versions.get(EXTENSIONS))))
    return packages


def _version(version: Version | None) -> str:
    return "*" if version is None else nuget_version(".".join(map(str, version.release)))
