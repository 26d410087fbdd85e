"""Whatever dies between two steps: every asset is registered once, and what was sent is not sent again."""

from __future__ import annotations

import os
import signal

import pytest
from support.assets import (
    DATA,
    MODELS,
    assets_of,
    files_of,
    make_heavy,
    models_of,
    registrations,
    sha256,
    weight_bytes,
)
from support.azure import AzureStandIn
from support.farm import Farm, RunMaker, wait_for

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

MIB = 1 << 20
AUTO = MODELS | {"config": {"version": "auto"}}


def test_a_worker_killed_in_mid_upload_leaves_blocks_that_are_not_sent_again(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    event = make_run(packages=MODELS, candidates=1)
    weights = make_heavy(models_of(event)[0], 48 * MIB)
    (first,) = farm.start()
    with azure.faults.on(method="PUT", path="weights.bin.*comp=block&", skip=3, times=None, delay=120) as slow:
        farm.publish(event)
        slow.wait_struck()
        wait_for(lambda: _staged_bytes(azure) >= 24 * MIB, what="the three blocks that pass")
        first.kill()
    wait_for(lambda: all(one.done for one in azure.requests), what="the requests of the dead to end")
    there = _staged_bytes(azure)
    assert 24 * MIB <= there < 48 * MIB
    azure.forget_requests()
    farm.start()
    (result,) = farm.wait_final(event, seconds=90).data.packages
    sent = sum(
        one.request_bytes for one in azure.requests if one.path.endswith("weights.bin") and "block&" in one.query
    )
    assert sent == 48 * MIB - there
    files = files_of(azure, assets_of(result)[0])
    assert files["weights.bin"] == sha256(weights)
    assert len(registrations(azure.requests)) == 1


def test_a_process_killed_between_upload_and_registration_sends_nothing_again(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    farm.hold("azure.uploaded")
    farm.start()
    event = make_run(packages=MODELS, candidates=1)
    farm.publish(event)
    pid = farm.wait_reached("azure.uploaded")
    assert registrations(azure.requests) == []
    azure.forget_requests()
    os.kill(pid, signal.SIGKILL)
    farm.let_go("azure.uploaded")
    (result,) = farm.wait_final(event).data.packages
    assert result.attempts == 2
    assert not assets_of(result)[0].already_registered
    assert azure.sent_to_blobs() == 0
    assert len(registrations(azure.requests)) == 1


def test_a_process_killed_after_its_version_was_noted_registers_that_one(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    farm.hold("azure.version_noted")
    farm.start()
    event = make_run(packages=AUTO, candidates=1)
    farm.publish(event)
    pid = farm.wait_reached("azure.version_noted")
    os.kill(pid, signal.SIGKILL)
    farm.let_go("azure.version_noted")
    (result,) = farm.wait_final(event).data.packages
    assert [asset.version for asset in assets_of(result)] == ["1"]
    assert registrations(azure.requests) == ["models/olive_output_model_cpu-cpu_1/versions/1"]


@pytest.mark.parametrize("kind", [AUTO, MODELS, DATA])
def test_a_process_killed_after_registering_does_not_register_again(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker, kind: dict[str, object]
) -> None:
    farm.hold("azure.registered")
    farm.start()
    event = make_run(packages=kind, candidates=1)
    farm.publish(event)
    pid = farm.wait_reached("azure.registered")
    os.kill(pid, signal.SIGKILL)
    farm.let_go("azure.registered")
    (result,) = farm.wait_final(event).data.packages
    assert [asset.version for asset in assets_of(result)] == ["1"]
    assert not result.assets[0].already_registered
    assert len(registrations(azure.requests)) == 1


def test_a_whole_worker_killed_while_another_waits_for_its_weight_leaves_the_work_to_that_one(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    event = make_run(packages=[MODELS, DATA], candidates=1)
    weights = make_heavy(models_of(event)[0], 40 * MIB)
    farm.start(2)
    with azure.faults.on(method="PUT", path="weights.bin.*comp=block&", skip=2, times=None, delay=120) as slow:
        farm.publish(event)
        slow.wait_struck()
        wait_for(lambda: _staged_bytes(azure) >= 16 * MIB, what="the two blocks that pass")
        sending = next(worker for worker in farm.workers if _has_claim(farm, worker.name))
        sending.kill()
    final = farm.wait_final(event, seconds=90).data
    assert final.state == "succeeded"
    for result in final.packages:
        assert files_of(azure, assets_of(result)[0])["weights.bin"] == sha256(weights)
    assert len(registrations(azure.requests)) == 2
    finished = [one for one in azure.requests if one.path.endswith("weights.bin") and one.status == 201]
    blocks = sum(one.request_bytes for one in finished if "comp=block&" in one.query)
    assert blocks == 40 * MIB
    assert weight_bytes(finished) >= blocks


def _staged_bytes(azure: AzureStandIn) -> int:
    """Bytes of the weight's blocks that the storage has answered for."""
    answered = [one for one in azure.requests if one.path.endswith("weights.bin") and one.status == 201]
    return sum(one.request_bytes for one in answered)


def _has_claim(farm: Farm, name: str) -> bool:
    """Whether a worker's job holds the claim on a weight; one that waits holds none."""
    jobs = {str(farm.redis.get(key)) for key in farm.redis.scan_iter(f"{farm.keys.prefix}claim:*")}
    for job in jobs:
        run, _, number = job.partition(":")
        held = farm.redis.hget(f"{farm.keys.prefix}job:{run}:{number}", "worker")
        if farm.redis.get(f"{farm.keys.prefix}worker:{held}") == name:
            return True
    return False


@pytest.mark.parametrize(
    ("point", "kind"),
    [("azure.uploaded", DATA), ("azure.version_noted", AUTO), ("azure.registered", AUTO), ("azure.registered", MODELS)],
)
def test_one_that_was_paused_past_its_lease_registers_nothing_twice(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker, point: str, kind: dict[str, object]
) -> None:
    farm.extra["PACKHOUSE_LEASE_SECONDS"] = "1"
    farm.start(2)
    event = make_run(packages=kind, candidates=1)
    farm.hold(point)
    farm.publish(event)
    slow = farm.wait_reached(point)
    os.kill(slow, signal.SIGSTOP)
    if point != "azure.registered":  # who finds the asset there does not come that far
        farm.wait_reached(point, besides=(slow,))
    farm.let_go(point)
    (asset,) = assets_of(farm.wait_final(event).data.packages[0])
    os.kill(slow, signal.SIGCONT)
    wait_for(lambda: "the lease was lost" in farm.logs(), what="the process that was paused to come back")
    for number in range(2):
        other = make_run(f"after-{number}")
        farm.publish(other)
        assert farm.wait_final(other).data.state == "succeeded"
    assert asset.version == "1"
    assert len(set(registrations(azure.requests))) == 1, "one version, however often it was asked for"
    assert [one.subject for one in farm.finals()].count(event.subject) == 1
