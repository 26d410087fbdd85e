"""An event may say where its data lies."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from packhouse.schemas import ErrorCode, PermanentError, RunFinished
from packhouse.schemas.paths import PathMap
from packhouse.worker.intake.reference import Resolved, reference_in, resolve
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.storage import Storage

DATA = '{"engine": {"name": "olive"}, "output_dir": "/out", "top": 3}'


def event(**fields: Any) -> str:
    sound = {
        "specversion": "1.0", "id": "e1", "source": "/farm", "type": "packhouse.run.finished", "subject": "run-1",
        "dataref": "/engine/run.json", "traceparent": "00-1",
    }  # fmt: skip
    return json.dumps(sound | fields)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "run.json").write_text(DATA)
    return tmp_path


def resolved(root: Path, text: str, longest: int = 10_000) -> Resolved:
    reference = reference_in(text)
    assert reference is not None
    return resolve(text, reference, Storage(Roots([str(root)])), PathMap.parse([f"/engine={root}"]), longest)


def refusal(root: Path, text: str, longest: int = 10_000) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        resolved(root, text, longest)
    assert str(root) not in caught.value.message
    return caught.value


def test_the_document_becomes_the_data(root: Path) -> None:
    for extra in ({}, {"data": None}, {"datarefsha256": hashlib.sha256(DATA.encode()).hexdigest()}):
        found = resolved(root, event(**extra))
        read = RunFinished.model_validate_json(found.text)
        assert read.data.top == 3
        assert (read.id, read.run.id) == ("e1", "run-1")
        assert found.sha256 == hashlib.sha256(DATA.encode()).hexdigest()
        assert reference_in(found.text) is None


def test_an_event_that_has_its_data_refers_to_nothing() -> None:
    assert reference_in(event(data={"a": 1})) is None
    assert reference_in(json.dumps({"data": {"x": "dataref"}})) is None


@pytest.mark.parametrize("document", ["[]", "{", "17", '{"a": 1', ""])
def test_what_is_no_object_is_refused(root: Path, document: str) -> None:
    (root / "run.json").write_text(document)
    error = refusal(root, event())
    assert (error.code, error.field) == (ErrorCode.EVENT_NOT_JSON, "dataref")


def test_bytes_that_are_no_text_are_refused(root: Path) -> None:
    (root / "run.json").write_bytes(b"\xff\xfe")
    assert refusal(root, event()).code is ErrorCode.EVENT_NOT_JSON


def test_a_document_cannot_smuggle_in_an_envelope(root: Path) -> None:
    (root / "run.json").write_text(DATA + ',"subject":"other"')
    assert refusal(root, event()).code is ErrorCode.EVENT_NOT_JSON


def test_another_digest_than_announced_is_refused(root: Path) -> None:
    error = refusal(root, event(datarefsha256="0" * 64))
    assert (error.code, error.field) == (ErrorCode.EVENT_INVALID, "datarefsha256")


def test_limits_and_places_hold_for_the_document_too(root: Path) -> None:
    assert refusal(root, event(), longest=10).code is ErrorCode.EVENT_TOO_LARGE
    assert refusal(root, event(dataref="/engine/none.json")).code is ErrorCode.OUTPUT_NOT_FOUND
    assert refusal(root, event(dataref="/etc/passwd")).code is ErrorCode.PATH_FORBIDDEN
    blob = "https://acct1.blob.core.windows.net/c/run.json"
    assert refusal(root, event(dataref=blob)).code is ErrorCode.LOCATION_UNSUPPORTED
