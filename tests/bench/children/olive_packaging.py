"""Olive's own packaging of a finished search: ``olive_packaging.py FOLDER NAME MODEL...`` makes ``FOLDER/NAME.zip``."""

# What is imported is in an environment of its own only.
# pyright: reportMissingImports=false

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path

from olive.engine.footprint import Footprint, FootprintNode
from olive.engine.packaging.packaging_config import PackagingConfig, PackagingType
from olive.engine.packaging.packaging_generator import generate_output_artifacts
from probe import tell

FOLDER, NAME, MODELS = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
METRIC = "latency-avg"
OBJECTIVE = {METRIC: {"priority": 1, "higher_is_better": False}}


def node(at: int, model: str) -> FootprintNode:
    value = {"value": 1.0 + at, "priority": 1, "higher_is_better": False}
    config = {"type": "ONNXModel", "config": {"model_path": model, "inference_settings": None}}
    return FootprintNode(
        model_id=f"m{at}",
        parent_model_id="input",
        from_pass="Pass",
        pass_run_config={},
        metrics={"value": {METRIC: value}, "cmp_direction": {METRIC: -1}, "if_goals_met": True},
        is_pareto_frontier=True,
        model_config=config,
    )


def footprint(*more: FootprintNode) -> Footprint:
    nodes = OrderedDict((found.model_id, found) for found in (*more, *(node(*pair) for pair in enumerate(MODELS))))
    return Footprint(nodes=nodes, objective_dict=OBJECTIVE, is_marked_pareto_frontier=True)


def package_as_0_6(whole: Footprint) -> None:
    """Footprints by accelerator: the whole of it, and the frontier."""
    from olive.hardware import DEFAULT_CPU_ACCELERATOR as CPU

    config = PackagingConfig(
        type=PackagingType.Zipfile, name=NAME, include_sample_code=False, include_runtime_packages=False
    )
    tell(lambda: generate_output_artifacts([config], {CPU: whole}, {CPU: footprint()}, FOLDER))


def package_as_0_13(whole: Footprint) -> None:
    """What a workflow puts out."""
    from olive.engine.output import WorkflowOutput
    from olive.hardware.accelerator import DEFAULT_CPU_ACCELERATOR

    whole.set_output_model_ids([f"m{at}" for at in range(len(MODELS))])
    whole.input_model_id = "input"
    output = WorkflowOutput(DEFAULT_CPU_ACCELERATOR, whole)
    tell(lambda: generate_output_artifacts([PackagingConfig(type=PackagingType.Zipfile, name=NAME)], output, FOLDER))


root = node(9, MODELS[0])
root.model_id, root.parent_model_id, root.from_pass, root.is_pareto_frontier = "input", None, None, False
os.chdir(FOLDER)  # where it makes the archive before it moves it
(package_as_0_6 if version("olive-ai").startswith("0.6.") else package_as_0_13)(footprint(root))
