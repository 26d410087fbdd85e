"""Reports of real runs and of runs that were made up, without any model file."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packhouse.producers.olive import read_output_dir
from packhouse.schemas.checks import CheckState, ModelCheck, Verdict
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.files import Unavailable
from packhouse.schemas.footprint import ModelConfig
from packhouse.worker.models.source import ModelSource, OnnxMain, SourceFile, SourceKind
from packhouse.worker.package.candidate import candidate_folder, candidates_of, default_prefix
from packhouse.worker.package.report import report
from packhouse.worker.package.scrub import Scrubber
from packhouse.worker.ranking import rank
from packhouse.worker.storage.location import Location

ENGINE = "/srv/olive"
HOSTILE = (
    "</style><svg onload=alert(1)><img src=http://127.0.0.1:9>\"'&\u202egnp.\u200b\x00"
    "e\u0301\u0301\u0301\u0301\u0301\u0301"
)


def page_of(event: FinishedRun, **parts: Any) -> str:
    """The page for a run: the models are taken to be there, of 58,084 bytes each."""
    return made(event, **parts).decode("utf-8")


def made(
    event: FinishedRun,
    *,
    name: str = "OutputModels",
    run: RunRef | None = None,
    checks: Sequence[ModelCheck] = (),
    unavailable: Sequence[Unavailable] = (),
    others: Sequence[str] = ("SampleCode/python/run.py", "SampleCode/cpp/main.cpp"),
    size: int = 58084,
) -> bytes:
    """The page in bytes."""
    ranking, scrub = rank(event), Scrubber([ENGINE])
    files = (SourceFile("model.onnx", Location("/w/m.onnx", f"{ENGINE}/m.onnx"), size, "1"),)
    source = ModelSource(SourceKind.ONNX_FILE, files, "model.onnx", onnx_models=(OnnxMain("model.onnx"),))

    def find(model: ModelConfig) -> ModelSource:
        return source

    candidates = list(candidates_of(event, ranking, find))
    folders = [candidate_folder(each, scrub, default_prefix(each.ranked)) for each in candidates]
    whose = run or RunRef(source="/farm/7", id="run-2026-11")
    return report(name, whose, event, ranking, folders, candidates, checks, unavailable, scrub, others)


def verdicts(event: FinishedRun) -> list[ModelCheck]:
    """A verdict of every kind in turn."""
    kinds = [
        Verdict(state=CheckState.PASSED, execution_provider="CPUExecutionProvider", ran=True),
        Verdict(state=CheckState.INCONCLUSIVE, reason="Input ids cannot be made up: index 1 is out of bounds."),
        Verdict(state=CheckState.NOT_CHECKED, reason="This worker has no OpenVINOExecutionProvider."),
        Verdict(state=CheckState.FAILED, reason=f"{ENGINE}/m.onnx: no Op registered for Fused with domain_version 1."),
    ]
    return [
        ModelCheck(
            rank=each.rank,
            accelerator=each.accelerator,
            rank_in_accelerator=each.rank_in_accelerator,
            model_id=each.model_id,
            verdict=kinds[at % len(kinds)],
        )
        for at, each in enumerate(rank(event).candidates)
    ]


@dataclass
class MadeUp:
    """A run with the objectives and the nodes one likes."""

    objectives: dict[str, tuple[int, bool]] = field(
        default_factory=lambda: {"accuracy": (1, True), "latency-avg": (2, False)}
    )
    footprints: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def node(self, accelerator: str, *values: Any, model_id: str = "", output: bool = True, **more: Any) -> None:
        """Add a node with a value for each objective; the first of an accelerator adds the input model before it."""
        nodes = self.footprints.setdefault(
            accelerator, [{"model_id": "input", "metrics": self.metrics(*more.pop("input", ()))}]
        )
        nodes.append(
            {
                "model_id": model_id or f"m{len(nodes)}-{accelerator}",
                "parent_model_id": "input",
                "from_pass": "OnnxQuantization",
                "pass_run_config": {"user_script": f"{ENGINE}/script.py", "bits": 8, "data_config": None},
                "model": {"type": "ONNXModel", "config": {"model_path": f"{ENGINE}/m.onnx"}},
                "metrics": self.metrics(*values),
                "is_output": output,
                **more,
            }
        )

    def metrics(self, *values: Any) -> dict[str, Any] | None:
        found = {
            name: {"value": value, "priority": priority, "higher_is_better": higher}
            for (name, (priority, higher)), value in zip(self.objectives.items(), values, strict=False)
        }
        return found or None

    def run(self, **fields: Any) -> FinishedRun:
        return FinishedRun.model_validate(
            {
                "engine": {"name": "olive", "version": "0.13.0"},
                "output_dir": f"{ENGINE}/out",
                "footprints": [
                    {"accelerator": accelerator, "nodes": nodes} for accelerator, nodes in self.footprints.items()
                ],
                **fields,
            }
        )


def sample(data: Path, name: str) -> bytes:
    """The page of a real run, with a verdict of every kind."""
    event = read_output_dir(data / name / "output_dir")
    return made(event, checks=verdicts(event))


def crowded() -> FinishedRun:
    """Nearly five thousand nodes on three accelerators, 183 of them candidates; a few values are missing."""
    chance, run = random.Random(1), MadeUp()
    for accelerator in ("cpu-cpu", "gpu-cuda", "npu-qnn"):
        for at in range(1600):
            accuracy = 0.98 - 0.3 * chance.random() ** 3
            latency = math.exp(chance.gauss(0, 1)) * 0.05 / (1.1 - accuracy)
            run.node(accelerator, accuracy, latency, output=at < 60, input=(0.9, 0.2), goals_met=at % 3 != 0)
    run.node("cpu-cpu", math.nan, 0.1)
    run.node("cpu-cpu", 0.9, None)
    run.node("gpu-cuda", 0.91, math.inf)
    return run.run()


def one_objective() -> FinishedRun:
    """Two accelerators, equal values among them."""
    run = MadeUp({"latency-avg": (1, False)})
    for accelerator in ("cpu-cpu", "gpu-nvtensorrtrtx"):
        for at, value in enumerate([0.1, 0.1, 0.12, 0.2, 0.31, 0.1, 0.5, 0.14, 0.12]):
            run.node(accelerator, value, output=at < 5, input=(0.3,))
    return run.run()


def hostile() -> FinishedRun:
    """Names that are markup, turn the direction of text, and have no end; more objectives than a page has room for."""
    run = MadeUp(
        {f"{HOSTILE}{'x' * 900}": (1, True), **{f"m{at}-{HOSTILE}": (at + 2, at % 2 == 0) for at in range(14)}}
    )
    for at in range(4):
        run.node(
            "cpu-cpu",
            *(10.0 ** (at * power) for power in range(15)),
            model_id=f"{at}{HOSTILE}{'W' * 900}",
            from_pass=HOSTILE * 6,
            pass_run_config={HOSTILE: HOSTILE * 100, "x": f"{ENGINE}/a/b"},
            input=[1.0] * 15,
        )
    return run.run(engine={"name": HOSTILE, "version": HOSTILE})


def hostile_page() -> bytes:
    """The page of the hostile run, with hostile verdicts and gaps."""
    event = hostile()
    checks = [
        check.model_copy(update={"verdict": Verdict(state=CheckState.FAILED, reason=f"{ENGINE}/x: {HOSTILE}\n" * 20)})
        for check in verdicts(event)
    ]
    whose = RunRef(source=HOSTILE, id="r</title><script>alert(1)</script>")
    return made(event, checks=checks, run=whose, unavailable=[Unavailable(what=HOSTILE, reason=HOSTILE)] * 3)


def pages(data: Path) -> dict[str, bytes]:
    """A page of every kind, by name."""
    crowd, plain = crowded(), MadeUp({})
    plain.node("cpu-cpu")
    return {
        "two-accelerators": sample(data, "olive-0.6.2-cpu-and-openvino"),
        "search": sample(data, "olive-0.13.0-search"),
        "crowded": made(crowd, checks=verdicts(crowd)),
        "one-objective": made(one_objective()),
        "no-objective": made(plain.run()),
        "hostile": hostile_page(),
    }
