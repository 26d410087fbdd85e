"""Events and model files that are made to harm, through a real worker: each is refused by name, and gets nothing."""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from support.farm import wait_for
from support.gallery import MARK, Gallery, onnx_model
from support.models import save

from packhouse.schemas import CompletedEvent, RejectedEvent


@pytest.fixture(autouse=True)
def nothing_leaks(gallery: Gallery) -> Iterator[None]:
    """After every attack: nothing of what lies outside is inside, and nothing has come into being outside."""
    yield
    assert gallery.leaks() == []
    assert gallery.farm.workers[0].process.poll() is None, gallery.farm.logs()[-2000:]


def test_a_sound_model_is_packaged(gallery: Gallery) -> None:
    folder = gallery.folder()
    assert gallery.code(folder, onnx_model(folder / "model.onnx")) == "succeeded"


def _linked(folder: Path, outside: Path) -> Path:
    (folder / "link.onnx").symlink_to(outside / "secret")
    return folder / "link.onnx"


def _through_a_linked_folder(folder: Path, outside: Path) -> Path:
    (folder / "sub").symlink_to(outside)
    return folder / "sub" / "secret"


def _device(folder: Path, outside: Path) -> Path:
    (folder / "zero.onnx").symlink_to("/dev/zero")
    return folder / "zero.onnx"


def _pipe(folder: Path, outside: Path) -> Path:
    os.mkfifo(folder / "pipe.onnx")
    return folder / "pipe.onnx"


FORBIDDEN, UNSUPPORTED = "path_forbidden", "location_unsupported"
PATHS: dict[str, tuple[Callable[[Path, Path], str | Path], set[str]]] = {
    "absolute": (lambda _, outside: outside / "secret", {FORBIDDEN}),
    "dots": (lambda own, outside: f"{own}/../../{outside.name}/secret", {FORBIDDEN}),
    "dots after a file": (
        lambda own, outside: f"{own}/model.onnx/../../../{outside.name}/secret",
        {"model_missing"},
    ),
    "a link": (_linked, {FORBIDDEN}),
    "a linked folder": (_through_a_linked_folder, {FORBIDDEN}),
    "a file URL": (lambda _, outside: f"file://{outside}/secret", {UNSUPPORTED, FORBIDDEN}),
    "percent-encoded dots": (
        lambda own, outside: f"{own}/%2e%2e/%2e%2e/{outside.name}/secret",
        {"model_missing"},
    ),
    "another's home": (lambda *_: "~root/.ssh/id_rsa", {FORBIDDEN}),
    "a share": (lambda *_: "\\\\host\\share\\model.onnx", {FORBIDDEN}),
    "a process's files": (lambda *_: "/proc/self/environ", {FORBIDDEN}),
    "a device": (_device, {FORBIDDEN}),
    "a pipe": (_pipe, {"model_unreadable"}),
    "a name without end": (
        lambda own, _: f"{own}/{'m' * 5000}",
        {"model_missing", FORBIDDEN, "model_unreadable"},
    ),
    "the machine's metadata": (lambda *_: "http://169.254.169.254/latest/meta-data", {FORBIDDEN}),
    "a host of no cloud": (lambda *_: "https://evil.example/container/model.onnx", {UNSUPPORTED}),
    "an account that is not allowed": (
        lambda *_: "https://stranger.blob.core.windows.net/models/model.onnx",
        {FORBIDDEN, UNSUPPORTED},
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_model_is_read_from_the_storage_roots_alone(gallery: Gallery, name: str) -> None:
    make, codes = PATHS[name]
    folder = gallery.folder()
    code = gallery.code(folder, onnx_model(make(folder, gallery.outside)))
    assert code in codes


@pytest.mark.parametrize("path", ["/srv/\0/etc/passwd", "/x\0"])
def test_a_path_with_a_nul_is_refused_with_the_whole_event(gallery: Gallery, path: str) -> None:
    folder = gallery.folder()
    assert gallery.code(folder, onnx_model(path)) == "path_forbidden"


SECRET = "c2VjcmV0LXNpZ25hdHVyZQ"
SIGNED = f"https://a.blob.core.windows.net/c/m.onnx?sv=2024-11-04&se=2030-01-01&sig={SECRET}%3D"


@pytest.mark.parametrize("where", ["the model", "the output folder", "a model's own config", "a pass", "a name"])
def test_a_signature_in_an_address_is_nowhere_repeated(gallery: Gallery, where: str) -> None:
    """Not in the status, the logs or a package: only the event itself has it, in the ledger and as a dead letter."""
    folder = gallery.folder()
    sound = str(folder / "model.onnx")
    if where == "the model":
        final = gallery.run(folder, onnx_model(SIGNED))
    elif where == "the output folder":
        gallery.farm.publish(_event(folder, onnx_model(sound), output_dir=SIGNED))
        final = gallery.farm.wait_end(_reference(json.loads(_event(folder, onnx_model(sound)))))
    elif where == "a model's own config":
        final = gallery.run(folder, onnx_model(sound, model_attributes={"from": SIGNED}))
    elif where == "a pass":
        final = gallery.run(folder, onnx_model(sound), pass_run_config={"data": [SIGNED]})
    else:
        final = gallery.run(folder, onnx_model(sound), from_pass=SIGNED)
    texts = {"status": final.model_dump_json(), "logs": gallery.farm.logs()}
    texts |= {key: "".join(gallery.farm.stream(key)) for key in gallery.streams}
    for package in folder.glob("out/*.zip"):
        with zipfile.ZipFile(package) as archive:
            texts |= {name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()}
    texts |= {page.name: page.read_text("utf-8") for page in folder.glob("out/*.html")}
    assert [name for name, text in texts.items() if SECRET in text] == []


def test_a_pickle_among_the_messages_is_not_loaded(gallery: Gallery) -> None:
    """Whoever got at the broker gets no code run in a worker, and keeps none from working."""
    body = pickle.dumps((_Owns(str(gallery.outside / "owned")), {}, {}))
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "binary",
        "content-type": "application/x-python-serialize",
        "headers": {"lang": "py", "task": "packhouse.run_finished", "id": "evil", "root_id": "evil", "argsrepr": ""},
        "properties": {
            "body_encoding": "base64", "delivery_info": {"exchange": "", "routing_key": "ranking"},
            "delivery_mode": 2, "delivery_tag": "evil", "priority": 0, "correlation_id": "evil",
        },
    }  # fmt: skip
    queue = f"{gallery.farm.keys.prefix}celery:ranking"
    gallery.farm.redis.lpush(queue, json.dumps(message))
    wait_for(lambda: gallery.farm.redis.llen(queue) == 0, what="the message to be taken")
    folder = gallery.folder()
    assert gallery.code(folder, onnx_model(folder / "model.onnx")) == "succeeded"
    assert not (gallery.outside / "owned").exists()


class _Owns:
    """What writes a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def external(path: Path, **entries: str) -> Path:
    """A model whose one tensor lies elsewhere."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    node = helper.make_node("Identity", ["w"], ["y"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    onnx.save(helper.make_model(helper.make_graph([node], "g", [], [output], [tensor])), path)
    return path


OUTSIDE, MISSING, SHORT = "external_data_outside", "external_data_missing", "external_data_truncated"
EXTERNAL: dict[str, tuple[dict[str, str], set[str]]] = {
    "dots": ({"location": "../../outside/secret"}, {OUTSIDE}),
    "passwords": ({"location": "../../../../../../../../etc/passwd"}, {OUTSIDE}),
    "absolute": ({"location": "/etc/passwd"}, {OUTSIDE}),
    "backslashes": ({"location": "..\\..\\outside\\secret"}, {OUTSIDE, MISSING}),
    "a link": ({"location": "link.bin"}, {OUTSIDE, "path_forbidden"}),
    "a linked folder": ({"location": "sub/secret"}, {OUTSIDE, "path_forbidden"}),
    "an offset beyond the end": ({"location": "short.bin", "offset": "4096", "length": "16"}, {SHORT}),
    "a length beyond the end": ({"location": "short.bin", "length": "1152921504606846976"}, {SHORT}),
    "a negative offset": ({"location": "short.bin", "offset": "-8"}, {"model_not_onnx", SHORT}),
    "an offset beyond all numbers": ({"location": "short.bin", "offset": "9" * 400}, {"model_not_onnx", SHORT}),
    "the model itself": ({"location": "model.onnx"}, {"succeeded", "layout_conflict", "model_check_failed", SHORT}),
}


@pytest.mark.parametrize("name", EXTERNAL)
def test_external_data_is_read_from_the_folder_of_the_model_alone(gallery: Gallery, name: str) -> None:
    entries, codes = EXTERNAL[name]
    folder = gallery.folder()
    (folder / "link.bin").symlink_to(gallery.outside / "secret")
    (folder / "sub").symlink_to(gallery.outside)
    (folder / "short.bin").write_bytes(bytes(16))
    assert gallery.code(folder, onnx_model(external(folder / "model.onnx", **entries))) in codes


def test_a_model_whose_run_never_ends_is_stopped_and_packaged_with_the_verdict(gallery: Gallery) -> None:
    folder = gallery.folder()
    (folder / "model.onnx").write_bytes(endless().SerializeToString())
    final = gallery.run(folder, onnx_model(folder / "model.onnx"))
    assert isinstance(final, CompletedEvent)
    (package,) = final.data.packages
    states = [check.verdict.state for check in package.checks] or [package.error.code if package.error else None]
    assert states in (["inconclusive"], ["model_check_failed"])
    assert package.seconds is not None
    assert package.seconds < 60


def endless() -> onnx.ModelProto:
    """A loop of 2**62 rounds."""
    state = helper.make_tensor_value_info("s", TensorProto.FLOAT, [1])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["d"]),
            helper.make_node("Add", ["s", "s"], ["t"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            state,
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, []),
            helper.make_tensor_value_info("t", TensorProto.FLOAT, [1]),
        ],
    )
    trips = helper.make_tensor("n", TensorProto.INT64, [], [2**62])
    go_on = helper.make_tensor("go", TensorProto.BOOL, [], [True])
    graph = helper.make_graph(
        [helper.make_node("Loop", ["n", "go", "x"], ["y"], body=body)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [trips, go_on],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def test_settings_that_load_a_library_or_write_a_file_are_left_out_and_told(gallery: Gallery) -> None:
    folder, outside = gallery.folder(), gallery.outside
    settings = {
        "session_options": {
            "optimized_model_filepath": str(outside / "optimized.onnx"),
            "enable_profiling": True,
            "profile_file_prefix": str(outside / "profile"),
            "register_custom_ops_library": str(outside / "secret"),
            "custom_op_libs": [str(outside / "secret")],
            "config_entries": {"ep.context_file_path": str(outside / "context.onnx"), "ep.context_enable": "1"},
        },
        "execution_provider": ["CPUExecutionProvider"],
        "provider_options": [{"backend_path": str(outside / "secret"), "cache_dir": str(outside)}],
    }
    final = gallery.run(folder, onnx_model(folder / "model.onnx", inference_settings=settings))
    assert isinstance(final, CompletedEvent)
    (package,) = final.data.packages
    assert package.state == "succeeded", package
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_an_openvino_model_with_entities_is_a_file_like_any_other(gallery: Gallery) -> None:
    folder = gallery.folder() / "ir"
    folder.mkdir()
    laughs = "".join(f'<!ENTITY l{at} "{f"&l{at - 1};" * 10}">' for at in range(1, 12))
    document = (
        f'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY l0 "{"ha" * 100}">{laughs}'
        f'<!ENTITY secret SYSTEM "file://{gallery.outside}/secret">]><net name="&secret;">&l11;</net>'
    )
    (folder / "model.xml").write_text(document, "utf-8")
    (folder / "model.bin").write_bytes(bytes(8))
    final = gallery.run(folder.parent, {"type": "OpenVINOModel", "config": {"model_path": str(folder)}})
    assert isinstance(final, CompletedEvent)
    (package,) = final.data.packages
    assert package.path
    with zipfile.ZipFile(package.path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("model.xml")]
        assert archive.read(name).decode() == document


def test_a_model_exchanged_for_a_link_while_it_is_packed_gives_nothing_away(gallery: Gallery) -> None:
    """Whichever moment it is exchanged at: the package has the model, or fails."""
    for _ in range(5):
        folder = gallery.folder()
        save(folder / "other.onnx", seed=1)
        model = folder / "model.onnx"
        stop = folder / "stop"
        switcher = _switch(model, folder / "other.onnx", gallery.outside / "secret", stop)
        try:
            code = gallery.code(folder, onnx_model(model))
        finally:
            stop.touch()
            switcher.wait(30)
        assert code in {"succeeded", "path_forbidden", "model_changed", "model_missing", "model_check_failed"}


def _switch(model: Path, other: Path, secret: Path, stop: Path) -> Any:
    import subprocess
    import sys

    program = (
        "import os, sys\n"
        "model, other, secret, stop = sys.argv[1:]\n"
        "while not os.path.exists(stop):\n"
        "    for target in (secret, other):\n"
        "        os.symlink(target, model + '.new')\n"
        "        os.replace(model + '.new', model)\n"
    )
    return subprocess.Popen([sys.executable, "-c", program, str(model), str(other), str(secret), str(stop)])


TEXTS = [
    "\x1b[2J\x9b31m",
    "a\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "$(touch {outside}/owned); `touch {outside}/owned`; '; touch {outside}/owned; '",
    "]] .. redis.call('FLUSHALL') .. [[",
    '"); os.system("touch {outside}/owned"); ("',
    "../../../../outside/owned",
    "{{ 7 * 7 }}{% for x in ().__class__.__bases__ %}{% endfor %}",
    "%s%n%x",
]


@pytest.mark.parametrize("text", TEXTS)
def test_hostile_names_and_metadata_are_data(gallery: Gallery, text: str) -> None:
    text = text.replace("{outside}", str(gallery.outside))
    folder = gallery.folder()
    event = gallery.run(
        folder,
        onnx_model(folder / "model.onnx", model_attributes={text: text}),
        from_pass=text,
        pass_run_config={text: text},
        metrics={f"m{text}": {"value": 1.0, "priority": 1, "higher_is_better": True}},
    )
    assert gallery.farm.redis.exists(f"{gallery.farm.keys.prefix}final:*") == 0
    assert isinstance(event, CompletedEvent)
    (package,) = event.data.packages
    assert package.state == "succeeded", package
    assert package.path
    with zipfile.ZipFile(package.path) as archive:
        rank = json.loads(archive.read("models_rank.json"))
        assert rank
        page = archive.read("report.html").decode()
        assert all(not name.startswith("/") and ".." not in Path(name).parts for name in archive.namelist())
    assert "<script" not in page
    assert "onerror" not in page or "&lt;img" in page
    assert "\x1b" not in page
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in page
    assert "49" not in rank


def test_the_name_of_a_package_cannot_lead_out_of_its_folder(gallery: Gallery) -> None:
    folder = gallery.folder()
    model = onnx_model(folder / "model.onnx")
    for name in ("../owned", "/tmp/owned", "a/b", "..", ".", "a\0b", "\N{RIGHT-TO-LEFT OVERRIDE}x", "x\ny", "a\\b"):
        sound = json.loads(_event(folder, model))
        sound["data"]["packaging_config"] = [{"type": "Zipfile", "name": name}]
        sound["subject"] = f"{folder.name}-{name.encode().hex()}"
        gallery.farm.publish(json.dumps(sound).encode())
        final = gallery.farm.wait_end(_reference(sound))
        assert final.type == "packhouse.packaging.rejected", (name, final)
    assert not (folder / "out").exists()


def test_a_name_of_half_a_megabyte_with_a_hundred_mistakes_is_not_told_a_hundred_times(gallery: Gallery) -> None:
    """What is told of an event is small, however large what is wrong with it."""
    folder = gallery.folder()
    sound = json.loads(_event(folder, onnx_model(folder / "model.onnx")))
    (node,) = sound["data"]["footprints"][0]["nodes"]
    node["metrics"] = {"q" * 500_000: {"value": "x", "priority": "x"} | {f"made_up_{at}": 1 for at in range(100)}}
    gallery.farm.publish(json.dumps(sound).encode())
    final = gallery.farm.wait_end(_reference(json.loads(_event(folder, onnx_model(folder / "model.onnx")))))
    assert isinstance(final, RejectedEvent)
    assert len(final.data.problems) > 50
    assert len(final.model_dump_json()) < 100_000
    assert "q" * 1000 not in gallery.farm.logs()


def _event(folder: Path, model: dict[str, Any], *, output_dir: str | None = None) -> bytes:
    node = {"model_id": "m", "model": model, "is_output": True}
    return json.dumps(
        {
            "specversion": "1.0", "id": folder.name, "source": "/attacker", "subject": folder.name,
            "type": "packhouse.run.finished",
            "data": {
                "engine": {"name": "olive"}, "output_dir": output_dir or str(folder / "out"),
                "packaging_config": {"type": "Zipfile"},
                "footprints": [{"accelerator": "cpu-cpu", "nodes": [node]}],
            },
        }
    ).encode()  # fmt: skip


def _reference(sound: dict[str, Any]) -> Any:
    from packhouse.schemas import RunFinished

    plain = {**sound, "data": {**sound["data"], "packaging_config": []}}
    return RunFinished.model_validate(plain)


def test_what_leaks_is_found(gallery: Gallery) -> None:
    """The check after each attack can fail."""
    copy = gallery.root / "copy"
    shutil.copy(gallery.outside / "secret", copy)
    assert gallery.leaks() == [str(copy)]
    assert MARK in copy.read_bytes()
    copy.unlink()
