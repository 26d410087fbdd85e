"""Packages made from the real runs, and from runs made up for the purpose, by a packager in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.packaging import PackagingConfig
from packhouse.schemas.paths import PathMap
from packhouse.worker.azure.access import Azure
from packhouse.worker.ledger import Lease, Ledger, Notebook, connect
from packhouse.worker.packagers.base import PackageJob, Poured
from packhouse.worker.packagers.zipfile import ZipfilePackager, ZipfilePlan
from packhouse.worker.ranking import rank
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import Settings
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.storage import Storage

DATA = Path(__file__).parents[1] / "data"
ENGINE = "/srv/olive"
LEASE = Lease("abcdef", "0", "a1", 1, 0, 0.0, None)
SAMPLES = {
    "olive-0.6.2-cpu-and-openvino": ["cpu-cpu", "cpu-openvino"],
    "olive-0.13.0-search": ["cpu-cpu"],
}


class Recorder:
    """Progress that is kept, and a place to interfere."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.done = 0
        self.on_advance: Callable[[], None] = lambda: None
        self.on_confirm: Callable[[], None] = lambda: None

    def stage(self, name: str, total: int = 0) -> None:
        self.stages.append((name, total))

    def advance(self, count: int) -> None:
        self.done += count
        self.on_advance()

    def confirm(self) -> None:
        self.on_confirm()

    def commit(self) -> None:
        self.on_confirm()


@dataclass
class EngineStorage:
    """The engine's storage, which it calls ``/srv/olive`` and which lies in a temporary folder."""

    root: Path
    progress: Recorder = field(default_factory=Recorder)
    token: str = "a1"
    settings: Settings = field(default_factory=lambda: Settings(check_models="off"))
    """Of the worker. What tries models needs a server."""

    @property
    def mapping(self) -> PathMap:
        return PathMap.parse([f"{ENGINE}={self.root}"])

    def sample(self, name: str, packages: list[dict[str, Any]] | None = None, **fields: Any) -> FinishedRun:
        """One of the real runs, its files copied into the storage."""
        for folder in ("cache", "models"):
            shutil.copytree(DATA / name / folder, self.root / folder, dirs_exist_ok=True)
        output = DATA / name / "output_dir"
        footprints = []
        for accelerator in SAMPLES[name]:
            if (output / "footprint.json").exists():
                nodes = json.loads((output / "footprint.json").read_text())
                marked = {key for key, node in nodes.items() if node["is_pareto_frontier"]}
            else:
                nodes = json.loads((output / f"digits_{accelerator}_footprints.json").read_text())
                marked = set(json.loads((output / f"digits_{accelerator}_pareto_frontier_footprints.json").read_text()))
            made = [_node(node, is_output=key in marked) for key, node in nodes.items()]
            footprints.append({"accelerator": accelerator, "nodes": made})
        return self.run(footprints, packages, **fields)

    def run(
        self, footprints: list[dict[str, Any]], packages: list[dict[str, Any]] | None = None, **fields: Any
    ) -> FinishedRun:
        return FinishedRun.model_validate(
            {
                "engine": {"name": "olive", "version": "0.6.2", "directories": [ENGINE]},
                "output_dir": f"{ENGINE}/out",
                "packaging_config": packages or [{"type": "Zipfile", "name": "Models"}],
                "footprints": footprints,
                **fields,
            }
        )

    def made_up(self, *models: dict[str, Any], **fields: Any) -> FinishedRun:
        """A run with one candidate for each model config, the first the best."""
        nodes: list[dict[str, Any]] = [{"model_id": "input", "metrics": _latency(9.0)}]
        nodes += [
            {
                "model_id": f"m{at}",
                "parent_model_id": "input",
                "from_pass": "Pass",
                "pass_run_config": {"user_script": f"{ENGINE}/script.py"},
                "model": {"type": config.pop("type", "ONNXModel"), "config": config},
                "metrics": _latency(1.0 + at),
            }
            for at, config in enumerate(models)
        ]
        return self.run([{"accelerator": "cpu-cpu", "nodes": nodes}], **fields)

    def job(self, event: FinishedRun, config: PackagingConfig | None = None) -> PackageJob:
        settings = self.settings
        return PackageJob(
            run=RunRef(source="urn:test", id="run-1"),
            event=event,
            config=config or event.packaging_config[0],
            ranking=rank(event),
            storage=Storage(Roots([str(self.root)])),
            mapping=self.mapping,
            token=self.token,
            tag="abcdef-0",
            progress=self.progress,
            notebook=Notebook(Ledger(connect(settings.redis_url), settings), settings, LEASE),
            azure=Azure(settings),
            settings=settings,
            runtimes=RuntimeStore(settings),
        )

    def pour(self, event: FinishedRun, config: PackagingConfig | None = None) -> tuple[Path, Poured]:
        """Plan and pour, the plan having travelled through the ledger."""
        job, packager = self.job(event, config), ZipfilePackager()
        plan = ZipfilePlan.model_validate_json(packager.plan(job).model_dump_json())
        poured = packager.pour(job, plan)
        return self.here(poured.path), poured

    def here(self, shown: str | None) -> Path:
        assert shown is not None
        return Path(shown.replace(ENGINE, str(self.root), 1))

    def engine_path(self, path: Path) -> str:
        return f"{ENGINE}/{path.relative_to(self.root)}"


def _node(node: dict[str, Any], *, is_output: bool) -> dict[str, Any]:
    metrics = node["metrics"]
    return {
        "model_id": node["model_id"],
        "parent_model_id": node["parent_model_id"],
        "from_pass": node["from_pass"],
        "pass_run_config": node["pass_run_config"],
        "model": node.get("model_config") or node.get("model_config_data"),
        "metrics": metrics and metrics["value"],
        "goals_met": metrics and metrics["if_goals_met"],
        "is_output": is_output,
    }


def _latency(value: float) -> dict[str, Any]:
    return {"latency-avg": {"value": value, "priority": 1, "higher_is_better": False}}
