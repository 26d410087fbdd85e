"""Many runs at once, and two Packhouses on one server."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from pathlib import Path

import pytest
from support.farm import Farm, RunMaker, quick, wait_for

pytestmark = pytest.mark.full

FLOOD = 10_000


def test_two_namespaces_on_one_server_see_nothing_of_each_other(
    redis_url: str, tmp_path: Path, make_run: RunMaker
) -> None:
    farms = []
    for number in range(2):
        folder = tmp_path / f"stack-{number}"
        folder.mkdir()
        farms.append(Farm(quick(redis_url, f"side-{uuid.uuid4().hex[:8]}", tmp_path), folder))
    try:
        for farm in farms:
            farm.start()
        # The same run in both: its name is one within a namespace alone.
        events = [make_run("same", out=str(tmp_path / f"out-{number}")) for number in range(2)]
        for farm, event in zip(farms, events, strict=True):
            farm.publish(event)
        for farm, event in zip(farms, events, strict=True):
            final = farm.wait_final(event)
            assert final.data.packages[0].path == str(Path(event.data.output_dir) / "OutputModels.zip")
            assert len(farm.finals()) == 1
        farms[0].workers[0].stop()
        alone = make_run("alone")
        farms[0].publish(alone)
        farms[1].wait_sweeps(3)
        assert not farms[0].finals()[1:], "the other stack takes nothing of a stack without workers"
    finally:
        for farm in farms:
            farm.close()


@pytest.mark.timeout(600)
def test_a_flood_of_ten_thousand_events_ends_each_run_once(farm: Farm, make_run: RunMaker) -> None:
    wire = json.loads(make_run(packages=[]).to_wire())
    pipeline = farm.redis.pipeline(transaction=False)
    for number in range(FLOOD):
        event = wire | {"id": f"e{number}", "subject": f"flood-{number}"}
        pipeline.xadd(farm.keys.run_queue, {"event": json.dumps(event)})
    pipeline.execute()
    farm.start(2)
    counts = f"{farm.keys.prefix}counts"
    wait_for(
        lambda: int(str(farm.redis.hget(counts, "runs:succeeded") or 0)) >= FLOOD,
        seconds=500,
        what="the end of the flood",
    )
    finals = Counter(one.subject for one in farm.finals())
    assert len(finals) == FLOOD
    assert set(finals.values()) == {1}
    assert farm.redis.xlen(farm.keys.run_queue) == 0
    assert int(str(farm.redis.hget(counts, "recoveries:wake_up") or 0)) == 0, "what merely waits is not woken again"
