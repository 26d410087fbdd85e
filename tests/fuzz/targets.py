"""The readers of what others wrote, each with real inputs and with the law that it keeps whatever it is given."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import onnx
from fuzz import mutation
from fuzz.running import Target
from onnx import TensorProto, helper
from pydantic import ValidationError
from support.memory import InMemory
from support.models import save, two_layers
from support.nuget import nupkg
from support.pouring import EngineStorage
from support.wheel_index import wheel

from packhouse.producers.olive.output import read_output_dir
from packhouse.schemas import PackhouseError, RunFinished
from packhouse.schemas.epcontext import ep_contexts
from packhouse.schemas.errors import explain
from packhouse.schemas.genai import file_names, parse, renamed
from packhouse.schemas.onnx import external_locations
from packhouse.worker.intake.envelope import read_envelope, read_head
from packhouse.worker.intake.reference import reference_in
from packhouse.worker.models.session_settings import allowed
from packhouse.worker.models.signature_reader import read_signature
from packhouse.worker.package.inference import inference_config
from packhouse.worker.ranking import rank
from packhouse.worker.runtimes.archives import nupkg_facts, wheel_facts
from packhouse.worker.runtimes.failures import Absent
from packhouse.worker.verify import run as verification

DATA: Final = Path(__file__).parents[1] / "data"
CORPUS: Final = DATA / "fuzz"
_LONGEST_EVENT: Final = 1 << 20
_OLIVE: Final = {
    "olive-0.6.2": ("olive-0.6.2-cpu-and-openvino", "digits_cpu-cpu_footprints.json"),
    "olive-0.6.2-frontier": ("olive-0.6.2-cpu-and-openvino", "digits_cpu-openvino_pareto_frontier_footprints.json"),
    "olive-0.13.0": ("olive-0.13.0-search", "footprint.json"),
}


def targets(folder: Path) -> dict[str, Target]:
    """Every target by its name; files that it needs are made in a folder."""
    wires = tuple(_event(folder / f"event-{name}", name) for name in ("olive-0.6.2", "olive-0.13.0"))
    every = [
        Target("event", _read_event, wires, mutation.of_json),
        *(_olive(name, folder / name) for name in _OLIVE),
        Target("onnx", _read_onnx, tuple(model.SerializeToString() for model in _models()), mutation.of_protobuf),
        _package(folder / "package"),
        Target("genai", _read_genai, (_GENAI,), mutation.of_json),
        *_runtimes(folder / "runtimes"),
    ]
    return {target.name: target for target in every}


def corpus(name: str) -> list[Path]:
    """Inputs of a target that broke the law once."""
    return sorted((CORPUS / name).glob("*"))


def _event(folder: Path, name: str) -> bytes:
    sample, file = _OLIVE[name]
    folder.mkdir(parents=True)
    (folder / "footprint.json").write_bytes(_few((DATA / sample / "output_dir" / file).read_bytes()))
    run = read_output_dir(folder, accelerator="cpu-cpu")
    return RunFinished.of(run, source="/fuzz", run_id="run-1").to_wire()


def _read_event(data: bytes) -> None:
    """An event is refused with an error of ours, or ranked; what was read says the same when it is written again."""
    read_head(data)
    try:
        text = read_envelope(data, _LONGEST_EVENT).text
        if reference_in(text) is not None:
            return
        event = RunFinished.model_validate_json(text)
    except PackhouseError:
        return
    except ValidationError as error:
        explain(error)
        return
    again = event.to_wire()
    assert RunFinished.model_validate_json(again).to_wire() == again
    ranking = rank(event.data)
    nodes = {(str(each.accelerator), node.model_id): node for each in event.data.footprints for node in each.nodes}
    for candidate in ranking.candidates:
        model = nodes[str(candidate.accelerator), candidate.model_id].model
        if model is not None:
            allowed(inference_config(model.inference_settings, candidate.accelerator))


def _olive(name: str, folder: Path) -> Target:
    sample, file = _OLIVE[name]
    shutil.copytree(DATA / sample / "output_dir", folder)
    seed = (folder / file).read_bytes()

    def read(data: bytes) -> None:
        """A folder is refused with an error of ours, or gives an event that a worker takes in."""
        (folder / file).write_bytes(data)
        try:
            run = read_output_dir(folder, accelerator=None if "0.6" in name else "cpu-cpu")
            wire = RunFinished.of(run, source="/fuzz", run_id="run-1").to_wire()
        except PackhouseError:
            return
        RunFinished.model_validate_json(read_envelope(wire, 64 * _LONGEST_EVENT).text)

    return Target(name, read, (seed, _few(seed)), mutation.of_json)


def _few(footprints: bytes) -> bytes:
    """The first nodes of a footprint file and what they come from: little to read is read more often."""
    nodes = json.loads(footprints)
    kept = dict.fromkeys(list(nodes)[:3])
    for node in list(kept):
        while (parent := nodes[node]["parent_model_id"]) in nodes:
            kept[parent] = None
            node = parent  # noqa: PLW2901 (up the lineage)
    return json.dumps({node: nodes[node] for node in nodes if node in kept}).encode()


def _read_onnx(data: bytes) -> None:
    """A model is refused with an error of ours, or read, by each of its readers for itself."""
    for reader in (external_locations, ep_contexts, read_signature):
        try:
            reader(InMemory(data), shown="m")
        except PackhouseError:
            continue


def _models() -> list[onnx.ModelProto]:
    """Small models that have everything that is looked at."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "w.bin"), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [1], [0]), [4])
    context = helper.make_node(
        "EPContext", ["x"], ["y"], domain="com.microsoft", embed_mode=0, ep_cache_context="c.bin", source="OpenVINO"
    )
    branch = helper.make_graph([context], "b", [], [helper.make_tensor_value_info("y", 1, [1])], [tensor])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    kinds = [
        helper.make_tensor_type_proto(1, ["batch", 3, None]),
        helper.make_sequence_type_proto(helper.make_tensor_type_proto(7, [1])),
        helper.make_map_type_proto(7, helper.make_tensor_type_proto(8, [])),
        helper.make_optional_type_proto(helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, None))),
    ]
    inputs = [helper.make_value_info(f"i{at}", kind) for at, kind in enumerate(kinds)]
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", 1, [4])], [tensor])
    graph.sparse_initializer.append(sparse)
    return [helper.make_model(graph), two_layers()]


def _package(folder: Path) -> Target:
    """A package's ZIP; models and samples are left to processes of their own, and so to other tests."""
    farm = EngineStorage(folder / "storage")
    model = save(farm.root / "engine/model.onnx")
    path, _ = farm.pour(farm.made_up({"model_path": farm.engine_path(model)}))
    seed = path.read_bytes()
    steps = tuple(step for step in verification._STEPS if step[0] not in {"models", "samples"})

    def read(data: bytes) -> None:
        """A package is told what is wrong with it, and never by an error."""
        (folder / "package.zip").write_bytes(data)
        before, verification._STEPS = verification._STEPS, steps
        try:
            verification.verify(folder / "package.zip", shown="x", watcher=_Silent())
        finally:
            verification._STEPS = before

    return Target("package", read, (seed, _repacked(seed)), _of_stored_files)


def _repacked(package: bytes) -> bytes:
    """The same files stored by ``zipfile``, so that a change of a file's bytes is not lost in a compressed one."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), old.read(name))
    return made.getvalue()


class _Silent:
    def stage(self, name: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...


def _read_genai(data: bytes) -> None:
    """A config is refused as no JSON, or its files are named, and can be named otherwise."""
    try:
        config = parse(data)
    except ValueError:
        return
    new = {name: f"{at}.onnx" for at, name in enumerate(file_names(config))}
    assert file_names(parse(renamed(config, new.__getitem__))) == list(new.values())


_GENAI: Final = b"""{"model": {"bos_token_id": 1, "decoder": {"session_options": {"provider_options": []}, "filename":
"model.onnx", "pipeline": [{"one": {"filename": "one.onnx"}}, {"two": {"filename": "two.onnx"}}]}, "vision":
{"filename": "vision.onnx"}}, "search": {"max_length": 512, "temperature": 1.0}}"""


def _runtimes(folder: Path) -> list[Target]:
    folder.mkdir(parents=True)
    return [
        _archive("nupkg", folder / "x.nupkg", nupkg("X", "1.0.0", [("Y", "[1.0, 2.0)")]),
                 lambda path: nupkg_facts(path, "X", "1.0.0", lambda _: None)),
        _archive("wheel", folder / "x-1.0-py3-none-any.whl", wheel("x", "1.0", ['y (>=1.0) ; python_version > "3"']),
                 lambda path: wheel_facts(path, "x", lambda _: None)),
    ]  # fmt: skip


def _archive(name: str, path: Path, seed: bytes, facts: Callable[[Path], object]) -> Target:
    def read(data: bytes) -> None:
        """What a feed sent is taken, or said not to be had."""
        path.write_bytes(data)
        try:
            facts(path)
        except Absent:
            return

    return Target(name, read, (_repacked(seed),), _of_stored_files)


def _of_stored_files(random: Random, data: bytes) -> bytes:
    """One file of an archive changed, or removed, with true sizes and CRCs; or the archive itself."""
    if not random.randrange(3):
        return mutation.of_zip(random, data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old:
            files = {name: old.read(name) for name in old.namelist()}
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OSError):
        return mutation.of_zip(random, data)
    if not files:
        return data
    chosen = random.choice(list(files))
    change = mutation.of_json if chosen.endswith(".json") else mutation.of_bytes
    files[chosen] = change(random, files[chosen])
    if not random.randrange(20):
        del files[chosen]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as new:
        for name, content in files.items():
            new.writestr(zipfile.ZipInfo(name), content)
    return made.getvalue()
