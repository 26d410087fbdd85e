"""A small ``RunFinished``, as documentation shows it."""

from __future__ import annotations

from datetime import UTC, datetime

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.events import Engine, FinishedRun, Package, RunFinished
from packhouse.schemas.footprint import Footprint, Metric, ModelConfig, Node
from packhouse.schemas.packaging import PackagingConfig, PackagingType


def run_finished_example() -> RunFinished:
    """A run with one accelerator and one candidate, to be packed as a ZIP."""
    return RunFinished(
        id="5f0c2d1e-0001",
        source="/farm/eu-1",
        subject="bert-base-2024-06-01",
        time=datetime(2024, 6, 1, 12, tzinfo=UTC),
        data=FinishedRun(
            engine=Engine(
                name="olive-ai",
                version="0.6.2",
                runtime_packages=[Package(name="onnxruntime", version="1.18.1")],
                directories=["/srv/olive"],
            ),
            output_dir="/srv/olive/output",
            packaging_config=[PackagingConfig(type=PackagingType.ZIPFILE, name="bert")],
            footprints=[
                Footprint(
                    accelerator=Accelerator.parse("cpu-cpu"),
                    nodes=[
                        Node(model_id="input"),
                        Node(
                            model_id="0_OnnxQuantization",
                            parent_model_id="input",
                            from_pass="OnnxQuantization",  # noqa: S106 (a pass of the engine)
                            pass_run_config={"per_channel": True},
                            model=ModelConfig(type="ONNXModel", config={"model_path": "/srv/olive/cache/0/model.onnx"}),
                            metrics={
                                "accuracy-accuracy": Metric(value=0.86, priority=1, higher_is_better=True),
                                "latency-avg": Metric(value=36.2, priority=2, higher_is_better=False),
                            },
                            is_output=True,
                        ),
                    ],
                )
            ],
        ),
    )
