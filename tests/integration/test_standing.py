"""What is stalled is told from what is slow, by the ledger, and by the events where that may not be read."""

from __future__ import annotations

import time

from support.farm import wait_for
from support.ledger import DIGEST, ME, RUN, RUN_KEY, WHY, lease, planned, result

from packhouse.producers.cli.standing import events_standing
from packhouse.schemas.packaging import PackagingType
from packhouse.schemas.ranking import Ranking
from packhouse.schemas.standing import JobStanding, RunStanding
from packhouse.schemas.status import (
    Accepted,
    AcceptedEvent,
    PackageDelayed,
    PackageDelayedEvent,
    PackageProgress,
    PackageProgressEvent,
    PackageRef,
    PackageStarted,
    PackageStartedEvent,
)
from packhouse.worker.ledger import Ledger, Motion
from packhouse.worker.ledger.standing import look

QUEUE = "package.zipfile"
PACKAGE = PackageRef(type=PackagingType.ZIPFILE, name="P0")


def standing(ledger: Ledger, after: float = 120) -> RunStanding:
    found = look(ledger.redis, ledger.keys.namespace, RUN, after)
    assert found
    return found


def first(ledger: Ledger) -> JobStanding:
    return standing(ledger).jobs[0]


def serve(ledger: Ledger, seconds: float = 60) -> None:
    """A worker lives, and takes jobs of the queue."""
    ledger.round(ME, alive=seconds, sweep=60, queues=["ranking", QUEUE])


def test_what_waits_in_a_line_that_workers_serve_is_not_stalled(ledger: Ledger) -> None:
    planned(ledger, 2)
    serve(ledger)
    places = [(job.state, job.place, job.line, job.workers, job.stalled) for job in standing(ledger).jobs]
    assert places == [("waiting", 1, 2, 1, None), ("waiting", 2, 2, 1, None)]


def test_what_waits_for_a_queue_that_no_worker_serves_is_stalled(ledger: Ledger) -> None:
    planned(ledger, 1)
    assert first(ledger).stalled == f"no worker takes jobs of the queue {QUEUE}"
    ledger.round(ME, alive=60, sweep=60, queues=["ranking"])
    assert first(ledger).stalled
    serve(ledger, 0.2)
    assert first(ledger).stalled is None
    wait_for(lambda: first(ledger).stalled, what="the worker to be missed")


def test_the_first_of_a_line_that_nobody_takes_for_long_is_stalled(ledger: Ledger) -> None:
    planned(ledger, 1)
    serve(ledger)
    wait_for(lambda: standing(ledger, 0.1).jobs[0].stalled, what="the wait to be too long")


def test_work_that_moves_is_slow_at_most_and_work_that_does_not_is_stalled(ledger: Ledger) -> None:
    planned(ledger, 1)
    serve(ledger)
    held = lease(ledger, "0", "t")
    ledger.renew(held, Motion("writing", 10, 1000, silent=1))
    job = first(ledger)
    assert (job.state, job.worker, job.attempt, job.stage) == ("leased", "w1@test", 1, "writing")
    assert (job.bytes_done, job.bytes_total, job.stalled, job.publishing) == (10, 1000, None, False)
    ledger.renew(held, Motion("writing", 10, 1000, silent=300), publishing=True)
    job = first(ledger)
    assert job.silent_seconds
    assert job.silent_seconds >= 300
    assert "has not moved for 30" in str(job.stalled)
    assert job.publishing


def test_a_lease_that_ran_out_with_no_worker_to_bring_it_back_is_stalled(ledger: Ledger) -> None:
    planned(ledger, 1)
    lease(ledger, "0", "t")
    why = wait_for(lambda: first(ledger).stalled or "", what="the lease to run out")
    assert why.startswith("its lease ran out")


def test_what_is_delayed_says_until_when_and_why(ledger: Ledger) -> None:
    planned(ledger, 1)
    serve(ledger)
    ledger.release(lease(ledger, "0", "t"), 60, WHY)
    job = first(ledger)
    assert (job.state, job.error, job.stalled) == ("delayed", WHY, None)
    assert 50 < (job.due_seconds or 0) <= 60


def test_a_run_that_is_over_or_unknown_stands_nowhere(ledger: Ledger) -> None:
    assert look(ledger.redis, ledger.keys.namespace, RUN, 120) is None
    planned(ledger, 1)
    ledger.settle(lease(ledger, "0", "t"), "succeeded", result("P0", "succeeded"))
    assert look(ledger.redis, ledger.keys.namespace, RUN, 120) is None
    assert ledger.redis.exists(f"{ledger.keys.prefix}run:{RUN_KEY}")


def test_by_the_events_alone_work_of_which_nothing_is_heard_is_stalled() -> None:
    now = time.time()
    accepted = AcceptedEvent(
        source=RUN.source,
        subject=RUN.id,
        id="1",
        data=Accepted(content_digest=DIGEST, packages=[PACKAGE], ranking=Ranking()),
    )
    started = PackageStartedEvent(
        source=RUN.source, subject=RUN.id, id="2", data=PackageStarted(package=PACKAGE, attempt=1, worker="w")
    )
    moved = PackageProgressEvent(
        source=RUN.source,
        subject=RUN.id,
        id="3",
        data=PackageProgress(package=PACKAGE, stage="writing", bytes_done=1, bytes_total=2),
    )
    delayed = PackageDelayedEvent(
        source=RUN.source,
        subject=RUN.id,
        id="4",
        data=PackageDelayed(package=PACKAGE, attempt=1, seconds=30, error=WHY),
    )
    events = [(now - 500, accepted), (now - 400, started), (now - 10, moved)]
    (waiting,) = events_standing(RUN, events[:1], 120).jobs
    assert (waiting.state, waiting.stalled) == ("waiting", None)
    (silent,) = events_standing(RUN, events[:2], 120).jobs
    assert str(silent.stalled).startswith("nothing has been heard of it")
    (slow,) = events_standing(RUN, events, 120).jobs
    assert (slow.state, slow.stage, slow.worker, slow.stalled) == ("leased", "writing", "w", None)
    (pause,) = events_standing(RUN, [*events, (now - 5, delayed)], 120).jobs
    assert (pause.state, pause.error, pause.due_seconds is not None) == ("delayed", WHY, True)
