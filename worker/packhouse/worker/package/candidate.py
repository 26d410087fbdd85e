"""The folder of one candidate: its model, and the JSON files that tell what it is and where it came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, JsonValue

from packhouse.schemas.events import FinishedRun
from packhouse.schemas.files import (
    CANDIDATES,
    CONFIGURATIONS,
    INFERENCE_CONFIG,
    METRICS,
    MODEL_INFO,
    Configurations,
    MetricsFile,
    ModelInfo,
    PassStep,
    RankEntry,
)
from packhouse.schemas.footprint import Metrics, ModelConfig, Node
from packhouse.schemas.modelpaths import KeyPath, replaced
from packhouse.schemas.ranking import RankedCandidate, Ranking
from packhouse.worker.models.source import ModelSource
from packhouse.worker.package.inference import inference_config
from packhouse.worker.package.jsontext import json_bytes, plain
from packhouse.worker.package.scrub import Scrubber
from packhouse.worker.package.tree import Made, ModelFile, PackageTree

_INFERENCE_SETTINGS: Final = "inference_settings"


@dataclass(frozen=True)
class Candidate:
    """A ranked model with everything that its folder is made from."""

    ranked: RankedCandidate
    model: ModelConfig
    lineage: tuple[Node, ...]
    """From the input model to this one."""
    source: ModelSource


@dataclass(frozen=True)
class CandidateFolder:
    """A candidate as it lies in a package."""

    prefix: str
    """Folder in the package; empty for the root."""
    entries: PackageTree
    rank_entry: dict[str, Any]
    """Its line of ``models_rank.json``, as plain JSON."""


def candidates_of(
    event: FinishedRun, ranking: Ranking, find: Callable[[ModelConfig], ModelSource]
) -> Iterator[Candidate]:
    """The candidates of a ranking, best first. Models that are described alike are looked for once.

    Raises what ``find`` raises for a model that cannot be packaged.
    """
    footprints = {str(footprint.accelerator): footprint for footprint in event.footprints}
    nodes = {name: {node.model_id: node for node in footprint.nodes} for name, footprint in footprints.items()}
    found: dict[bytes, ModelSource] = {}
    for ranked in ranking.candidates:
        lineage = _lineage(nodes[str(ranked.accelerator)], ranked.model_id)
        model = lineage[-1].model
        if model is None:
            raise ValueError(f"{ranked.model_id} is ranked and has no model")
        key = json_bytes([model.kind, _without_settings(model.config)])
        if key not in found:
            found[key] = find(model)
        yield Candidate(ranked, model, lineage, found[key])


def default_prefix(ranked: RankedCandidate) -> str:
    """``CandidateModels/<accelerator>/BestCandidateModel_<rank in the accelerator>``, as Olive names the folder."""
    return f"{CANDIDATES}/{ranked.accelerator}/BestCandidateModel_{ranked.rank_in_accelerator}"


def candidate_folder(candidate: Candidate, scrub: Scrubber, prefix: str) -> CandidateFolder:
    """The folder of a candidate below a prefix, which may be empty. Model files are referred to, never read."""
    ranked, base = candidate.ranked, f"{prefix}/" if prefix else ""
    entries = PackageTree()
    for file in candidate.source.files:
        entries.add(base + file.relative, ModelFile(file.location, file.size, file.mark))
    for file in candidate.source.made:
        entries.add(base + file.relative, Made(json_bytes(scrub.json(json.loads(file.data)))))
    model = _model_config(candidate, base)
    info = ModelInfo(
        rank=ranked.rank,
        rank_in_accelerator=ranked.rank_in_accelerator,
        accelerator=ranked.accelerator,
        model_id=ranked.model_id,
        reason=ranked.reason,
        goals_met=ranked.goals_met,
        lineage=[PassStep(model_id=node.model_id, from_pass=node.from_pass) for node in candidate.lineage],
        model=model,
        metrics=ranked.metrics,
        files=candidate.source.paths,
    )
    documents: dict[str, BaseModel] = {
        CONFIGURATIONS: Configurations({node.model_id: node.pass_run_config for node in candidate.lineage}),
        METRICS: MetricsFile(
            input_model_metrics=_input_metrics(candidate), candidate_model_metrics=ranked.metrics
        ),
        MODEL_INFO: info,
    }  # fmt: skip
    if candidate.model.is_onnx:
        documents[INFERENCE_CONFIG] = inference_config(candidate.model.inference_settings, ranked.accelerator)
    for name, document in documents.items():
        entries.add(base + name, Made(json_bytes(scrub.json(plain(document)))))
    entry = RankEntry(rank=ranked.rank, model=model, metrics=ranked.metrics)
    return CandidateFolder(prefix, entries, scrub.json(plain(entry)))


def _lineage(nodes: Mapping[str, Node], model_id: str) -> tuple[Node, ...]:
    line = [nodes[model_id]]
    while (parent := line[-1].parent_model_id) is not None:
        line.append(nodes[parent])
    return tuple(reversed(line))


def _without_settings(config: Any) -> Any:
    """What says where a model lies: two models may differ in nothing but how they are opened."""
    if isinstance(config, list):
        return [_without_settings(item) for item in config]
    if isinstance(config, dict):
        return {key: _without_settings(item) for key, item in config.items() if key != _INFERENCE_SETTINGS}
    return config


def _input_metrics(candidate: Candidate) -> Metrics | None:
    first = candidate.lineage[0]
    return first.metrics if first.is_input else None


def _model_config(candidate: Candidate, base: str) -> ModelConfig:
    """The engine's config, naming the model as it lies in the package: an engine can open the package by it."""
    source = candidate.source
    values: dict[KeyPath, JsonValue] = {
        at: base + place if place else base.rstrip("/") or "." for at, place in source.places
    }
    values |= dict(source.names)
    return ModelConfig(type=candidate.model.type, config=replaced(candidate.model.config, values))
