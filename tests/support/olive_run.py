"""Run by Olive's own interpreter: a workflow of Olive, and the three lines that have its models packaged.

``olive_run.py MODEL FOLDER PACKAGING_CONFIG``; the event and what came of it are the last lines of standard output.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def workflow(model: str, folder: Path) -> dict[str, Any]:
    """A quantization, measured by its latency, as both versions of Olive want it written."""
    old = version("olive-ai").startswith("0.6.")
    data = {"input_shapes": [[1, 64]], "input_names": ["x"], "input_types": ["float32"]}
    accelerators = {"accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}]}
    engine = {
        "evaluator": "latency",
        "host": "here",
        "target": "here",
        "cache_dir": str(folder / "cache"),
        "output_dir": str(folder / "out"),
    }

    def nested(**given: Any) -> dict[str, Any]:
        return {"config": given} if old else given

    latency: dict[str, Any] = {"name": "latency", "type": "latency", "sub_types": [{"name": "avg", "priority": 1}]}
    loading = {"type": "dummy_dataset", **({"params": data} if old else data)}
    latency["data_config"] = {"name": "zeros", "type": "DummyDataContainer", "load_dataset_config": loading}
    return {
        "input_model": {"type": "ONNXModel", **nested(model_path=model)},
        "systems": {"here": {"type": "LocalSystem", **nested(**accelerators)}},
        "evaluators": {"latency": {"metrics": [latency]}},
        "passes": {"quantized": {"type": "OnnxDynamicQuantization", **({"config": {}} if old else {})}},
        **({"engine": engine} if old else engine),
    }


def main(model: str, folder: Path, packaging_config: str) -> None:
    from olive.workflows import run  # pyright: ignore  # noqa: PGH003 - of the interpreter that runs this

    output = run(workflow(model, folder))

    from packhouse.producers.olive import publish_output

    published = publish_output(folder / "out", packaging_config, output=output)
    sys.stdout.write(f"\n{published.event.to_wire().decode()}\n{published.wait(timeout=120).model_dump_json()}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
