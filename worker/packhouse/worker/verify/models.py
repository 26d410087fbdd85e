"""Whether the models inside a package are whole, and load."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.checks import CheckState
from packhouse.schemas.errors import PackhouseError
from packhouse.schemas.files import RankEntry
from packhouse.schemas.footprint import ModelConfig
from packhouse.schemas.modelpaths import KeyPath, models_in, replaced
from packhouse.worker.models.limits import memory_for, seconds_for
from packhouse.worker.models.scratch import Laid
from packhouse.worker.models.session_settings import CPU, SessionSettings, allowed
from packhouse.worker.models.source import ModelSource, OnnxMain, find
from packhouse.worker.models.trial import Outcome, Trial, tried
from packhouse.worker.package.inference import inference_config
from packhouse.worker.package.jsontext import json_bytes
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage
from packhouse.worker.verify.candidates import folder_of, paths_of
from packhouse.worker.verify.container import UNREADABLE
from packhouse.worker.verify.contents import Contents, Found, Skipped, counted, sized

_LOOKED_INTO: Final = ("onnxmodel", "distributedonnxmodel", "openvinomodel")
"""Types, in lower case, of models whose files are known to belong together."""
_USE_EXTENSIONS: Final = "use_ort_extensions"
_KEPT_FREE: Final = 256 * 1024 * 1024
_SETTINGS: Final = "inference_settings"
_MOST_TOLD: Final = 20
_SECONDS: Final = 600
_MEMORY: Final = 4 << 30
_ON_THE_CPU: Final = SessionSettings({"graph_optimization_level": "ORT_DISABLE_ALL"}, {}, ((CPU, {}),), ())
"""Loading is asked for, not speed: with optimizations the weights would be copied and rearranged."""
_NOT_ON_THE_CPU: Final = re.compile(
    r"NOT_IMPLEMENTED|could not find an implementation|is not a registered|no op registered", re.IGNORECASE
)


@dataclass
class _Trial:
    """What came of one model; of several that are the same, once."""

    findings: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    loaded: int = 0


def check_models(contents: Contents) -> Found:
    """Find the files of every candidate's model as a worker would, and load each ONNX model in a process of its own.

    What cannot be loaded here, for what it is, becomes a note. So do inference settings that could do harm: none is
    taken over.
    """
    ranks, digests = contents.need_ranks(), contents.need_manifest().digest_of_files()
    known = {entry.rank: (folder, info) for entry in ranks
             if (folder := folder_of(entry)) and (info := contents.info(folder))}  # fmt: skip
    contents.watcher.stage("models", len(ranks))
    tried: dict[bytes, _Trial] = {}
    total = Found()
    loaded = 0
    for entry in ranks:
        if entry.rank in known:
            folder, info = known[entry.rank]
            paths = {name: f"{folder}/{name}" for name in info.files if f"{folder}/{name}" in contents.container.sizes}
            key = _key(entry, folder, {name: digests.get(path, path) for name, path in paths.items()})
            if key not in tried:
                tried[key] = _try(contents, entry, paths)
            loaded += tried[key].loaded
            total.findings.extend(f"rank {entry.rank}: {fault}" for fault in tried[key].findings)
            notes = [*tried[key].notes, *_not_taken_over(entry.model, info.accelerator)]
            total.notes.extend(f"rank {entry.rank}: {note}" for note in notes)
        contents.watcher.advance(1)
    if not total.findings and not loaded:
        raise Skipped("; ".join(total.notes[:3]) or "no ONNX model is ranked")
    return Found(total.findings, counted(loaded, "model"), total.notes)


def _key(entry: RankEntry, folder: str, digests: Mapping[str, str]) -> bytes:
    """The same for models of the same files that are opened alike."""
    config = json_bytes(_without_settings(entry.model.config)).replace(json_bytes(folder).strip(b'"\n'), b"")
    return json_bytes([entry.model.kind, sorted(digests.items())]) + config


def _without_settings(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _without_settings(item) for key, item in value.items() if key != _SETTINGS}
    return [_without_settings(item) for item in value] if isinstance(value, list) else value


def _try(contents: Contents, entry: RankEntry, paths: Mapping[str, str]) -> _Trial:
    if not _is_looked_into(entry.model):
        return _Trial(notes=[f"a model of type {entry.model.type}, which is not loaded"])
    needed = sum(contents.container.sizes[path] for path in paths.values())
    with tempfile.TemporaryDirectory(prefix="packhouse-verify-") as place:
        if needed > shutil.disk_usage(place).free - _KEPT_FREE:
            return _Trial(notes=[f"not loaded: it takes {sized(needed)} unpacked, and there is no room for that"])
        try:
            for path in paths.values():
                contents.container.extract(path, Path(place) / path)
            source = _source(entry.model, Path(place))
        except PackhouseError as error:
            return _Trial([error.message])
        except UNREADABLE as error:
            return _Trial([str(error)])
        return _loaded(entry, source, Path(place), needed)


def _is_looked_into(model: ModelConfig) -> bool:
    try:
        return any(part.type.lower() in _LOOKED_INTO for part in models_in(model.type, model.config))
    except ValueError:
        return False  # A finding of the ranks already.


def _not_taken_over(model: ModelConfig, accelerator: Accelerator) -> list[str]:
    """A sentence about inference settings of a model that are none of the harmless ones, if it has such."""
    if not _is_looked_into(model):
        return []
    names: dict[str, None] = {}
    for part in models_in(model.type, model.config):
        settings = part.config.get(_SETTINGS)
        if isinstance(settings, dict):
            names |= dict.fromkeys(allowed(inference_config(settings, accelerator)).dropped)
    if not names:
        return []
    told = [*names][:_MOST_TOLD]
    return [f"its inference settings {', '.join(told)} may load a library or write a file: none is used here"]


def _source(model: ModelConfig, root: Path) -> ModelSource:
    """The files of a model, looked for as in a storage of which the package is the root. Raises ``PackhouseError``."""
    values: dict[KeyPath, JsonValue] = {each.at: f"/{each.path}" for each in paths_of(model)}
    absolute = ModelConfig(type=model.type, config=replaced(model.config, values))
    return find(absolute, lambda path: Location(f"{root}{path}", path.lstrip("/")), Storage(Roots([str(root)])))


def _loaded(entry: RankEntry, source: ModelSource, root: Path, weights: int) -> _Trial:
    """Each ONNX model of a candidate, loaded from where it lies below ``root``."""
    trial = _Trial()
    places = {file.relative: str(Path(file.location.path).relative_to(root)) for file in source.files}
    for model in source.onnx_models:
        main = places[model.main]
        if model.ep_contexts:
            by = ", ".join(name for name in model.ep_contexts if name) or "one execution provider"
            trial.notes.append(f"{main} is not loaded: it was compiled for {by}")
            continue
        here = replace(
            model, main=main, external_initializers=places.get(model.external_initializers or ""), constant_inputs=None
        )
        config = model.config_in(entry.model)
        verdict = _outcome(here, root, weights, extensions=bool(config.get(_USE_EXTENSIONS))).verdict
        if verdict.state is CheckState.PASSED:
            trial.loaded += 1
        elif verdict.state is CheckState.FAILED and not _is_for_another(config, verdict.reason or ""):
            trial.findings.append(f"{main}: {verdict.reason}")
        else:
            trial.notes.append(f"{main} is not seen to load: {verdict.reason}")
    return trial


def _outcome(model: OnnxMain, root: Path, weights: int, *, extensions: bool) -> Outcome:
    trial = Trial(
        model,
        _ON_THE_CPU,
        memory=memory_for(weights, _MEMORY),
        seconds=seconds_for(weights, _SECONDS),
        run=False,
        extensions=extensions,
    )
    return tried(trial, Laid(str(root), (), (), ()), lambda: None)


def _is_for_another(config: Mapping[str, JsonValue], reason: str) -> bool:
    """Whether a model that does not load has operators that its own execution provider may have, and the CPU not."""
    settings = config.get(_SETTINGS)
    providers = settings.get("execution_provider") if isinstance(settings, dict) else None
    text = json_bytes(providers).decode() if providers else ""
    return bool(text) and CPU not in text and _NOT_ON_THE_CPU.search(reason) is not None
