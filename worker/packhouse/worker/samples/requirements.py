"""What the Python sample has to be installed with."""

from __future__ import annotations

import re
from typing import Final

from packhouse.worker.samples.model import SampleModel

_RUNTIME: Final = re.compile(r"onnxruntime(?!-(genai|extensions))(-[a-z0-9]+)*", re.IGNORECASE)
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")
_FIRST_FOR_NUMPY_2: Final = (1, 19)


def requirements(best: SampleModel) -> list[str]:
    """Lines of ``requirements.txt``, sorted: the engine's runtime packages in their versions, and numpy.

    onnxruntime up to 1.18 was built for numpy 1.
    """
    lines = {package.name: f"{package.name}=={package.version}" for package in best.packages}
    runtimes = [package for package in best.packages if _RUNTIME.fullmatch(package.name)]
    if best.generative:
        wanted = "onnxruntime-genai"
        if not any(package.name.lower().startswith(wanted) for package in best.packages):
            lines[wanted] = wanted
    elif not runtimes:
        lines["onnxruntime"] = "onnxruntime"
    if best.use_ort_extensions:
        lines.setdefault("onnxruntime-extensions", "onnxruntime-extensions")
    versions = [found.groups() for package in runtimes if (found := _VERSION.match(package.version))]
    old = any((int(major), int(minor)) < _FIRST_FOR_NUMPY_2 for major, minor in versions)
    lines["numpy"] = "numpy<2" if old else "numpy"
    return sorted(lines.values())
