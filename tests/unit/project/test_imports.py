"""What starts does not import what only some work needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "azure", "jinja2", "mlflow", "msal", "numpy", "onnx", "onnxruntime", "openvino"}
OF_WORKERS = {"celery", "kombu", "pydantic_settings"}

HELP = """
import sys
from packhouse.producers.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
"""


def imported(code: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has after the code."""
    after = "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code + after], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("code", "needed", "without"),
    [
        ("import packhouse.worker.tasks", "celery", HEAVY),
        ("from packhouse.producers import publish", "redis", HEAVY | OF_WORKERS),
        (
            HELP,
            "click",
            HEAVY | OF_WORKERS | {"pydantic", "redis", "rich"},
        ),
    ],
    ids=["a worker", "an engine", "the command line's help"],
)
def test_no_module_is_imported_that_only_some_work_needs(code: str, needed: str, without: set[str]) -> None:
    modules = imported(code)
    assert needed in modules
    assert not modules & without
