from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from packhouse.schemas.export import exported_files, write
from packhouse.schemas.export.documents import DOCUMENTS
from packhouse.schemas.export.example import run_finished_example
from packhouse.schemas.keys import FIELD, Keys

COMMITTED = Path(__file__).parents[3] / "schemas" / "json"
RUN = {"specversion": "1.0", "id": "1", "source": "/farm", "subject": "run-1", "datacontenttype": "application/json"}
DIGEST = "sha256:" + "0" * 64
ACCELERATOR = {"device": "cpu", "execution_provider": "CPUExecutionProvider"}
METRICS = {"latency-avg": {"value": "NaN", "priority": 1, "higher_is_better": False}}
PROBLEM = {"code": "model_missing", "message": "It is gone.", "fix": "Bring it back.", "field": None}
CANDIDATE = {
    "rank": 1, "rank_in_accelerator": 1, "accelerator": ACCELERATOR, "model_id": "m", "reason": "best",
    "metrics": METRICS,
}  # fmt: skip
LEFT_OUT = {"accelerator": ACCELERATOR, "model_id": "i", "reason": "input_model", "message": "It is the input model."}
RANKING = {
    "objectives": [{"name": "latency-avg", "priority": 1, "higher_is_better": False}],
    "candidates": [CANDIDATE],
    "left_out": [LEFT_OUT],
}
PACKAGE = {"type": "Zipfile", "name": "OutputModels"}
RESULT = {
    **PACKAGE,
    "state": "succeeded",
    "path": "/srv/o.zip",
    "bytes": 10,
    "files": 3,
    "digest": DIGEST,
    "models": ["m"],
}
MODEL = {"type": "ONNXModel", "config": {"model_path": "CandidateModels/cpu-cpu/BestCandidateModel_1/model.onnx"}}

EXAMPLES: dict[str, list[Any]] = {
    "run-finished": [json.loads(run_finished_example().to_wire())],
    "run-finished-by-reference": [
        {**RUN, "type": "packhouse.run.finished", "dataref": "/srv/olive/run.json"},
        {**RUN, "type": "packhouse.run.finished", "dataref": "https://acct1.blob.core.windows.net/c/r.json"},
        {**RUN, "type": "packhouse.run.finished", "dataref": "/r.json", "datarefsha256": "0" * 64},
    ],
    "packaging-config": [None, {"type": "zipfile"}, [{"type": "AzureMLData", "config": {"version": 3}}]],
    "packaging-accepted": [
        {
            **RUN, "type": "packhouse.packaging.accepted",
            "data": {"content_digest": DIGEST, "packages": [PACKAGE], "ranking": RANKING},
        }
    ],
    "packaging-rejected": [{**RUN, "type": "packhouse.packaging.rejected", "data": {"error": PROBLEM}}],
    "packaging-completed": [
        {
            **RUN, "type": "packhouse.packaging.completed",
            "data": {
                "content_digest": DIGEST, "state": "succeeded", "packages": [RESULT], "candidates": [CANDIDATE],
                "timings": {
                    "accepted_at": "2024-06-01T12:00:00Z", "completed_at": "2024-06-01T12:00:01Z", "seconds": 1.0,
                },
            },
        }
    ],
    "package-started": [
        {**RUN, "type": "packhouse.package.started", "data": {"package": PACKAGE, "attempt": 1, "worker": "w"}}
    ],
    "packaging-reopened": [
        {**RUN, "type": "packhouse.packaging.reopened", "data": {"round": 2, "packages": [PACKAGE]}}
    ],
    "package-delayed": [
        {
            **RUN, "type": "packhouse.package.delayed",
            "data": {"package": PACKAGE, "attempt": 1, "seconds": 2.5, "error": PROBLEM},
        }
    ],
    "package-progress": [
        {
            **RUN, "type": "packhouse.package.progress",
            "data": {"package": PACKAGE, "stage": "pouring", "bytes_done": 1, "bytes_total": 2},
        }
    ],
    "package-succeeded": [{**RUN, "type": "packhouse.package.succeeded", "data": RESULT}],
    "package-failed": [
        {**RUN, "type": "packhouse.package.failed", "data": {**PACKAGE, "state": "failed", "error": PROBLEM}}
    ],
    "ranking": [RANKING, {}],
    "models-rank": [[], [{"rank": 1, "model_config": MODEL, "metrics": None}]],
    "configurations": [{"input": None, "0_Pass": {"per_channel": True}}],
    "inference-config": [{"execution_provider": [["CPUExecutionProvider", {}]], "session_options": {}}],
    "metrics": [{"input_model_metrics": None, "candidate_model_metrics": METRICS}],
    "model-info": [
        {
            **CANDIDATE, "goals_met": None, "lineage": [{"model_id": "i", "from_pass": None}], "model_config": MODEL,
            "files": ["model.onnx"],
        }
    ],
    "manifest": [
        {
            "packhouse": "0.1.0", "run": {"source": "/farm", "id": "run-1"}, "name": "OutputModels",
            "engine": {"name": "olive-ai", "version": None, "runtime_packages": []},
            "files": [{"path": "models_rank.json", "size": 2, "sha256": "0" * 64}], "left_out": [], "unavailable": [],
        }
    ],
    "runtime-lock": [
        {
            "files": [
                {
                    "kind": "python", "name": "onnxruntime", "version": "1.20.1", "size": 2, "sha256": "0" * 64,
                    "file": "python/onnxruntime-1.20.1-cp311-cp311-win_amd64.whl", "dependency": False,
                    "targets": [{"platform": "win_amd64", "python": "3.11"}],
                    "execution_providers": ["CPUExecutionProvider"],
                }
            ],
            "unavailable": [{"what": "onnxruntime-gpu 1.20.1", "reason": "there is no such wheel"}],
        }
    ],
    "run-standing": [
        {"run": {"source": "/farm", "id": "r"}, "jobs": [{"state": "waiting", "queue": "ranking", "workers": 0}]},
        {
            "run": {"source": "/farm", "id": "r"}, "round": 2, "accepted_at": "2024-06-01T12:00:00Z",
            "complete": False,
            "jobs": [
                {"package": PACKAGE, "state": "delayed", "due_seconds": 2.5, "error": PROBLEM, "stalled": "it is"}
            ],
        },
    ],
    "verify-report": [
        {
            "package": "OutputModels.zip", "ok": False, "format": None, "digest": None, "bytes": 2, "files": 0,
            "checks": [{"name": "archive", "state": "failed", "message": "is a ZIP", "findings": ["it is none"]}],
            "unavailable": [{"what": "onnxruntime-gpu 1.20.1", "reason": "there is no such wheel"}],
        }
    ],
}  # fmt: skip
EXAMPLES["status-event"] = [
    *EXAMPLES["packaging-accepted"], *EXAMPLES["packaging-rejected"], *EXAMPLES["packaging-completed"],
    *EXAMPLES["package-started"], *EXAMPLES["package-progress"], *EXAMPLES["package-succeeded"],
    *EXAMPLES["package-failed"], *EXAMPLES["package-delayed"], *EXAMPLES["packaging-reopened"],
]  # fmt: skip


@cache
def files() -> dict[str, str]:
    return exported_files()


def schema(name: str) -> dict[str, Any]:
    return json.loads(files()[f"{name}.schema.json"])


def test_the_committed_files_are_what_the_code_says() -> None:
    committed = {path.name: path.read_text("utf-8") for path in COMMITTED.glob("*.json")}
    assert committed == exported_files(), "run: make schemas"


def test_writing_replaces_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "gone.schema.json").write_text("{}")
    (tmp_path / "asyncapi.json").write_text("old")
    written = write(tmp_path)
    assert sorted(tmp_path.iterdir()) == written
    assert {path.name: path.read_text("utf-8") for path in written} == exported_files()


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_is_valid_by_schema_and_by_code_alike(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    validator = Draft202012Validator(schema(name))
    for example in EXAMPLES[name]:
        validator.validate(example)
        read = DOCUMENTS[name].validate_python(example)
        validator.validate(json.loads(DOCUMENTS[name].dump_json(read, by_alias=True)))
        if "specversion" in schema(name).get("properties", {}):  # on the wire, what is not set is left out
            validator.validate(json.loads(DOCUMENTS[name].dump_json(read, exclude_none=True)))


@pytest.mark.parametrize(
    "name", sorted(set(DOCUMENTS) - {"packaging-config", "configurations", "models-rank", "ranking"})
)
def test_a_document_that_lacks_everything_is_valid_by_neither(name: str) -> None:
    assert not Draft202012Validator(schema(name)).is_valid({})
    with pytest.raises(ValueError, match=r"Field required|Unable to extract tag"):
        DOCUMENTS[name].validate_python({})


def test_every_schema_has_a_name_of_its_own() -> None:
    ids = [schema(name)["$id"] for name in DOCUMENTS]
    assert len(set(ids)) == len(ids)


# AsyncAPI


def asyncapi() -> dict[str, Any]:
    return json.loads(files()["asyncapi.json"])


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolve(document: dict[str, Any], reference: str) -> Any:
    assert reference.startswith("#/"), reference
    found: Any = document
    for step in reference[2:].split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    document = asyncapi()
    found = set(references(document))
    assert len(found) > 20
    for reference in found:
        assert isinstance(resolve(document, reference), dict)


def test_the_asyncapi_document_has_the_parts_that_the_specification_asks_for() -> None:
    document = asyncapi()
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= document["info"].keys()
    for server in document["servers"].values():
        assert {"host", "protocol"} <= server.keys()
    for channel in document["channels"].values():
        # Every expression in an address is a parameter of the channel, and the other way round.
        assert set(re.findall(r"{([^}]+)}", channel["address"])) == set(channel["parameters"])
        assert channel["messages"]
    for name, message in document["components"]["messages"].items():
        assert re.fullmatch(r"[\w.-]+", name)
        assert resolve(document, message["payload"]["$ref"])["properties"]["type"]["const"] == message["name"]


def test_operations_use_only_messages_of_their_channel() -> None:
    document = asyncapi()
    assert {operation["action"] for operation in document["operations"].values()} == {"send", "receive"}
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        assert {message["$ref"].rpartition("/")[0] for message in operation["messages"]} == {f"{channel}/messages"}


def test_channels_have_the_keys_that_the_code_uses() -> None:
    keys = Keys()
    channels = asyncapi()["channels"]
    assert {name: channel["x-redis"]["key"] for name, channel in channels.items()} == {
        "runs": keys.run_queue,
        "status": keys.status,
        "progress": keys.progress,
    }
    for channel in channels.values():
        default = channel["parameters"]["namespace"]["default"]
        assert channel["address"].replace("{namespace}", default) == channel["x-redis"]["key"]
        assert channel["x-redis"]["field"] == FIELD


def test_the_example_of_the_asyncapi_document_is_valid_by_its_own_schema() -> None:
    document = asyncapi()
    (example,) = document["components"]["messages"]["RunFinished"]["examples"]
    rooted = {"$ref": "#/components/schemas/RunFinished", "components": document["components"]}
    Draft202012Validator(rooted).validate(example["payload"])
