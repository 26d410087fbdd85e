"""The folder ``SampleCode`` of a package."""

from __future__ import annotations

from typing import Any, Final

from packhouse.worker.package.tree import Made
from packhouse.worker.samples.model import SampleModel
from packhouse.worker.samples.nuget import nuget_packages
from packhouse.worker.samples.rendering import rendered
from packhouse.worker.samples.requirements import requirements

SAMPLE_CODE: Final = "SampleCode"
LANGUAGES: Final = ("cpp", "csharp", "python")


def sample_code(best: SampleModel) -> dict[str, Made]:
    """Path in the package to file, for the best candidate of a run. Equal models give equal bytes.

    For an ONNX model a program in each language, that reads any candidate's folder; for a generative one a program in
    Python; for any other a README that says why there is none.
    """
    values = _values(best)
    if best.no_code is not None or not (best.graphs or best.generative):
        return dict(rendered("none", SAMPLE_CODE, values))
    if best.generative:
        return dict(rendered("generative", SAMPLE_CODE, values))
    made = dict(rendered("onnx", SAMPLE_CODE, values))
    for language in LANGUAGES:
        made |= rendered(language, f"{SAMPLE_CODE}/{language}", values)
    return dict(sorted(made.items()))


def _values(best: SampleModel) -> dict[str, Any]:
    """What templates may use: see ``templates/README.md``."""
    return {"best": best, "requirements": requirements(best), "nuget": nuget_packages(best)}
