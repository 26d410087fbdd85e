"""One run in a ledger, and what can be done to it."""

from __future__ import annotations

import json
from typing import cast

from packhouse.schemas import STATUS_EVENT, CompletedEvent, RunRef, run_key
from packhouse.schemas.errors import ErrorCode, Problem
from packhouse.worker.identity import Identity
from packhouse.worker.ledger import Arrival, Lease, Ledger, Opened, Opening, PlannedJob, Wake

RUN = RunRef(source="/farm/ü", id='a "quoted" id')
RUN_KEY = run_key(RUN)
DIGEST = "sha256:" + "0" * 64
OTHER = "sha256:" + "1" * 64
ME = Identity.of_worker("w1@test")
NO_NODES = {"candidates": "[]", "left_out": "[]", "counts": '{"candidates":0}'}
"""What a ranking tells the ledger of a run that has none."""
WHY = Problem(code=ErrorCode.STORAGE_ERROR, message="The storage failed.", fix="Wait.")


def open_alone(ledger: Ledger, arrival: Arrival, *, title: str = "a run") -> Opened:
    """What comes of one run that is put into the ledger, no entry of the run queue with it."""
    (opened,) = ledger.open_all([Opening(arrival, title)], queue="ranking", group="")
    if isinstance(opened, Exception):
        raise opened
    return opened


def arrive(ledger: Ledger, digest: str = DIGEST, event_id: str = "e") -> Opened:
    return open_alone(ledger, Arrival(RUN, event_id, digest, "{}"))


def open_run(ledger: Ledger, digest: str = DIGEST) -> Wake | None:
    return arrive(ledger, digest).wake


def lease(ledger: Ledger, job: str, token: str) -> Lease:
    taken = ledger.lease(RUN_KEY, job, token, ME)
    assert taken is not None
    return taken


def planned(ledger: Ledger, count: int = 2) -> list[Wake]:
    open_run(ledger)
    jobs = [
        PlannedJob(str(n), "package.zipfile", json.dumps({"type": "Zipfile", "name": f"P{n}"}), f"P{n}")
        for n in range(count)
    ]
    accepted = json.dumps({"content_digest": DIGEST, "packages": [], "ranking": {}})
    held = lease(ledger, "rank", "r")
    return ledger.plan(held, accepted=accepted, **NO_NODES, state="succeeded", jobs=jobs)


def result(name: str, state: str) -> str:
    return json.dumps({"type": "Zipfile", "name": name, "state": state})


def events(ledger: Ledger) -> list[str]:
    entries = cast("list[tuple[str, dict[str, str]]]", ledger.redis.xrange(ledger.keys.status))
    return [STATUS_EVENT.validate_json(fields["event"]).type for _, fields in entries]


def final(ledger: Ledger) -> CompletedEvent:
    text = ledger.redis.get(ledger.keys.final(RUN))
    assert text is not None
    event = STATUS_EVENT.validate_json(text)
    assert isinstance(event, CompletedEvent)
    return event
