from __future__ import annotations

import subprocess
import sys


def test_nothing_of_azure_is_imported_before_it_is_spoken_to() -> None:
    """Importing it costs seconds and a hundred megabytes, which ranking and ZIPs must not pay."""
    modules = ("worker.app", "worker.process", "worker.packagers.azureml", "worker.cli.doctor", "worker.cli.gc")
    script = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(f'packhouse.{{name}}')\n"
        "print(sorted(name for name in sys.modules if name.startswith(('azure', 'msal'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
