"""``packhouse status``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from packhouse.producers.cli import exits
from packhouse.producers.cli.options import stack_options
from packhouse.producers.cli.say import say, say_json
from packhouse.producers.naming import default_source
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.errors import ErrorCode
from packhouse.schemas.status import (
    AcceptedEvent,
    CompletedEvent,
    FinalEvent,
    PackageFailedEvent,
    PackageStartedEvent,
    PackageSucceededEvent,
    RejectedEvent,
    ReopenedEvent,
)

if TYPE_CHECKING:
    from packhouse.producers.config import Stack
    from packhouse.producers.feed import StatusFeed
    from packhouse.producers.streams import AnyStatus

LOOK_BACK: Final = 20_000
"""How many status events the overview goes back."""


@click.command(epilog=exits.EXIT_STATUSES)
@click.argument("run_id", required=False)
@click.option("--follow", is_flag=True, help="Go on showing events as they come; with RUN_ID, up to its final one.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one a line.")
@click.option("--source", metavar="NAME", help="Who ran it, where several have a run of that id.")
@click.option(
    "--stalled-after",
    type=click.FloatRange(min=1),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="Call work stalled that has not moved for so long.",
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs to list.")
@stack_options
def status(  # noqa: PLR0913 - one parameter an option
    run_id: str | None,
    *,
    follow: bool,
    as_json: bool,
    source: str | None,
    limit: int,
    stalled_after: float,
    data_dir: Path | None,
    redis_url: str | None,
    namespace: str | None,
) -> int:
    """Show what became of the run RUN_ID, or of the latest runs.

    Of a run that is not over: what each package waits for, or how far it is, and whether it is slow or stalled. An
    engine's user sees what the events tell; who may read the ledger (operator, worker) sees all. With --json this is a
    document run-standing.
    """
    from packhouse.producers.config import find_stack
    from packhouse.producers.feed import StatusFeed

    stack = find_stack(redis_url, namespace, data_dir)
    with StatusFeed(stack.redis_url, stack.namespace) as feed:
        if run_id is None and follow:
            return _follow_all(feed, source, as_json=as_json)
        if run_id is None:
            return _overview(
                feed, source, limit, lambda run: _is_stalled(feed, stack, run, stalled_after), as_json=as_json
            )
        return _One(feed, stack.namespace, stalled_after, as_json=as_json).show(run_id, source, follow=follow)


def _follow_all(feed: StatusFeed, source: str | None, *, as_json: bool) -> int:
    for _, event in feed.follow():
        if source in {None, event.source}:
            _print_event(event, as_json=as_json, with_run=True)
    return exits.SUCCEEDED


def _is_stalled(feed: StatusFeed, stack: Stack, run: RunRef, stalled_after: float) -> bool:
    """Whether an open run is, as far as one may know."""
    from packhouse.producers.cli.standing import ledger_standing

    standing, _ = ledger_standing(feed.redis, stack.namespace, run, stalled_after)
    return standing is not None and standing.stalled


def _overview(
    feed: StatusFeed, source: str | None, limit: int, stalled: Callable[[RunRef], bool], *, as_json: bool
) -> int:
    runs: dict[RunRef, list[AnyStatus]] = {}
    for _, event in feed.recent(LOOK_BACK):
        if source in {None, event.source}:
            runs.setdefault(event.run, []).append(event)
    latest = sorted(runs.items(), key=lambda item: str(item[1][-1].time), reverse=True)[:limit]
    if as_json:
        for _, events in latest:
            _print_event(events[-1], as_json=True)
        return exits.SUCCEEDED
    if not latest:
        say("no run yet")
        return exits.SUCCEEDED
    from packhouse.producers.cli.render import console, show_runs

    rows: list[tuple[RunRef, str, datetime | None]] = []
    for run, events in latest:
        is_over = isinstance(events[-1], CompletedEvent | RejectedEvent)
        rows.append((run, state_of(events) + ("" if is_over or not stalled(run) else ", STALLED"), events[-1].time))
    show_runs(console(), rows)
    return exits.SUCCEEDED


@dataclass
class _One:
    """Showing one run."""

    feed: StatusFeed
    namespace: str
    stalled_after: float
    _: KW_ONLY
    as_json: bool

    def show(self, run_id: str, source: str | None, *, follow: bool) -> int:
        events = [item for item in self.feed.recent(LOOK_BACK) if item[1].subject == run_id]
        sources = {source} if source else {event.source for _, event in events} or {default_source()}
        if len(sources) > 1:
            raise click.UsageError(f"Several have a run {run_id}. Say --source: {', '.join(sorted(sources))}.")
        run = RunRef(source=next(iter(sources)), id=run_id)
        final = self.feed.final(run)
        known = [(entry, event) for entry, event in events if event.source == run.source]
        if final is None and follow:
            for event in self.feed.watch(run):
                if isinstance(event, CompletedEvent | RejectedEvent):
                    final = event
                else:
                    _print_event(event, as_json=self.as_json)
        if final is not None:
            _print_final(final, as_json=self.as_json)
            return exits.of_final(final)
        return self._open(run, known)

    def _open(self, run: RunRef, known: list[tuple[str, AnyStatus]]) -> int:
        from packhouse.producers.cli.standing import events_standing, ledger_standing, show_standing

        standing, why = ledger_standing(self.feed.redis, self.namespace, run, self.stalled_after)
        if standing is None and not known:
            say(f"error [{ErrorCode.RUN_UNKNOWN}]: there is no run {run}, or no worker has seen it yet.", err=True)
            say("fix: packhouse status lists the runs there are; --follow waits for this one.", err=True)
            return exits.FAILED
        if standing is None:
            events = [*known, *self.feed.progress_of(run)]
            timed = [(int(entry.partition("-")[0]) / 1000, event) for entry, event in events]
            standing = events_standing(run, timed, self.stalled_after)
        if self.as_json:
            say_json(standing.model_dump_json(exclude_none=True))
            return exits.SUCCEEDED
        state = state_of([event for _, event in known]) if known else "not ranked yet"
        say(f"run {run.id} {state}{', STALLED' if standing.stalled else ''}")
        for _, event in known:
            _print_event(event, as_json=False)
        show_standing(standing)
        if why:
            say(f"This is what the events tell; more is known to the ledger, but {why}.", err=True)
        return exits.SUCCEEDED


def state_of(events: list[AnyStatus]) -> str:
    """Where a run stands after these events, in a few words."""
    from packhouse.producers.streams import is_refusal

    own = [event for event in events if not is_refusal(event)] or events
    last = own[-1]
    if isinstance(last, CompletedEvent | RejectedEvent):
        return str(last.data.state).replace("_", " ") if isinstance(last, CompletedEvent) else "rejected"
    # In a later round those packages count that are made again in it.
    again = max((at for at, event in enumerate(events) if isinstance(event, ReopenedEvent)), default=None)
    if again is not None:
        reopened, events = events[again], events[again + 1 :]
        names = len(reopened.data.packages) if isinstance(reopened, ReopenedEvent) else 0
        if names:
            done = sum(isinstance(event, PackageSucceededEvent | PackageFailedEvent) for event in events)
            return f"packaging again, {done} of {names} packages done"
    asked = next((len(event.data.packages) for event in events if isinstance(event, AcceptedEvent)), None)
    ended = sum(isinstance(event, PackageSucceededEvent | PackageFailedEvent) for event in events)
    if any(isinstance(event, PackageStartedEvent) for event in events) or ended:
        return f"packaging, {ended} of {'?' if asked is None else asked} packages done"
    return "accepted, waiting for a worker"


def _print_final(final: FinalEvent, *, as_json: bool) -> None:
    if as_json:
        say_json(final.model_dump_json(exclude_none=True))
        return
    from packhouse.producers.cli.render import console, show_final

    show_final(console(), final)


def _print_event(event: AnyStatus, *, as_json: bool, with_run: bool = False) -> None:
    if as_json:
        say_json(event.model_dump_json(exclude_none=True))
        return
    from packhouse.producers.cli.progress import line_of

    line = line_of(event)
    if line is None and isinstance(event, CompletedEvent | RejectedEvent):
        line = state_of([event])
    if line:
        say(f"{event.subject}: {line}" if with_run else line)
