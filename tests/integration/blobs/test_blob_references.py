"""Runs whose data lies in a document of its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from support.blobs import BlobPlace
from support.farm import Farm, RunMaker, wait_for

from packhouse.schemas import ErrorCode, RejectedEvent, RunFinished

pytestmark = pytest.mark.slow


def by_reference(event: RunFinished, ref: object, **more: str) -> tuple[bytes, bytes]:
    """The event without its data, and the data."""
    fields = json.loads(event.to_wire())
    data = json.dumps(fields.pop("data")).encode()
    return json.dumps(fields | {"dataref": str(ref)} | more).encode(), data


def test_a_document_in_a_file_or_a_blob_is_the_data_of_a_run(
    place: BlobPlace, azure_farm: Farm, make_run: RunMaker, tmp_path: Path
) -> None:
    azure_farm.start()
    events = [make_run("in-a-file"), make_run("in-a-blob")]
    raw, data = by_reference(events[0], tmp_path / "run.json")
    (tmp_path / "run.json").write_bytes(data)
    azure_farm.publish(raw)
    azure_farm.publish(raw)
    address = place.root.child("runs/run.json")
    raw, data = by_reference(
        events[1],
        address,
        datarefsha256=hashlib.sha256(json.dumps(json.loads(events[1].to_wire())["data"]).encode()).hexdigest(),
    )
    place.put("runs/run.json", data)
    azure_farm.publish(raw)
    for event in events:
        [package] = azure_farm.wait_final(event).data.packages
        assert package.state == "succeeded", package
    assert len(azure_farm.finals()) == 2


def test_what_was_read_first_holds_for_every_later_attempt(
    azure_farm: Farm, make_run: RunMaker, tmp_path: Path
) -> None:
    event = make_run(candidates=2)
    raw, data = by_reference(event, tmp_path / "run.json")
    (tmp_path / "run.json").write_bytes(data)
    azure_farm.hold("zip.poured")
    [first] = azure_farm.start()
    azure_farm.publish(raw)
    azure_farm.wait_reached("zip.poured")
    (tmp_path / "run.json").unlink()
    first.kill()
    azure_farm.let_go("zip.poured")
    azure_farm.start()
    [package] = azure_farm.wait_final(event).data.packages
    assert package.state == "succeeded", package


def test_a_document_that_is_missing_or_not_allowed_rejects_the_run_and_it_may_come_again(
    place: BlobPlace, azure_farm: Farm, make_run: RunMaker, tmp_path: Path
) -> None:
    azure_farm.start()
    event = make_run()
    azure = place.azure
    elsewhere = f"https://{azure.other_account}.blob.core.windows.net/{azure.other_container}/run.json"
    codes = {
        tmp_path / "none.json": ErrorCode.OUTPUT_NOT_FOUND,
        place.root.child("none.json"): ErrorCode.OUTPUT_NOT_FOUND,
        Path("/etc/passwd"): ErrorCode.PATH_FORBIDDEN,
        elsewhere: ErrorCode.PATH_FORBIDDEN,
    }
    for count, (ref, code) in enumerate(codes.items(), start=1):
        azure_farm.publish(by_reference(event, ref)[0])
        wait_for(lambda count=count: len(azure_farm.finals()) == count, what="the rejection")
        final = azure_farm.finals()[-1]
        assert isinstance(final, RejectedEvent)
        assert final.data.error.code is code
    raw, data = by_reference(event, tmp_path / "run.json")
    (tmp_path / "run.json").write_bytes(data)
    azure_farm.publish(raw)
    wait_for(lambda: len(azure_farm.finals()) == len(codes) + 1, what="the run")
    assert azure_farm.finals()[-1].type == "packhouse.packaging.completed"


@pytest.mark.full
def test_a_document_that_cannot_be_had_just_now_is_asked_for_again(
    place: BlobPlace, azure_farm: Farm, make_run: RunMaker
) -> None:
    event = make_run()
    raw, data = by_reference(event, place.root.child("run.json"))
    place.put("run.json", data)
    fault = place.azure.faults.on(method="HEAD", path="run.json", status=503, code="ServerBusy", times=4)
    azure_farm.start()
    azure_farm.publish(raw)
    [package] = azure_farm.wait_final(event).data.packages
    assert package.state == "succeeded", package
    assert fault.struck == 4
