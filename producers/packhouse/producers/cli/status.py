"""``packhouse status``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from packhouse.producers.cli import exits
from packhouse.producers.cli.options import stack_options
from packhouse.producers.cli.say import say, say_json
from packhouse.producers.naming import default_source
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.status import (
    AcceptedEvent,
    CompletedEvent,
    FinalEvent,
    PackageFailedEvent,
    PackageStartedEvent,
    PackageSucceededEvent,
    RejectedEvent,
)

if TYPE_CHECKING:
    from packhouse.producers.feed import StatusFeed
    from packhouse.producers.streams import AnyStatus

LOOK_BACK: Final = 20_000
"""How many status events the overview goes back."""


@click.command(epilog=exits.EXIT_STATUSES)
@click.argument("run_id", required=False)
@click.option("--follow", is_flag=True, help="Go on showing events as they come; with RUN_ID, up to its final one.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one a line.")
@click.option("--source", metavar="NAME", help="Who ran it, where several have a run of that id.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs to list.")
@stack_options
def status(
    run_id: str | None,
    *,
    follow: bool,
    as_json: bool,
    source: str | None,
    limit: int,
    data_dir: Path | None,
    redis_url: str | None,
    namespace: str | None,
) -> int:
    """Show what became of the run RUN_ID, or of the latest runs."""
    from packhouse.producers.config import find_stack
    from packhouse.producers.feed import StatusFeed

    stack = find_stack(redis_url, namespace, data_dir)
    with StatusFeed(stack.redis_url, stack.namespace) as feed:
        if run_id is None and follow:
            return _follow_all(feed, source, as_json=as_json)
        if run_id is None:
            return _overview(feed, source, limit, as_json=as_json)
        return _one(feed, run_id, source, follow=follow, as_json=as_json)


def _follow_all(feed: StatusFeed, source: str | None, *, as_json: bool) -> int:
    for _, event in feed.follow():
        if source in {None, event.source}:
            _print_event(event, as_json=as_json, with_run=True)
    return exits.SUCCEEDED


def _overview(feed: StatusFeed, source: str | None, limit: int, *, as_json: bool) -> int:
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

    show_runs(console(), [(run, state_of(events), events[-1].time) for run, events in latest])
    return exits.SUCCEEDED


def _one(feed: StatusFeed, run_id: str, source: str | None, *, follow: bool, as_json: bool) -> int:
    events = [event for _, event in feed.recent(LOOK_BACK) if event.subject == run_id]
    sources = {source} if source else {event.source for event in events} or {default_source()}
    if len(sources) > 1:
        raise click.UsageError(f"Several have a run {run_id}. Say --source: {', '.join(sorted(sources))}.")
    run = RunRef(source=next(iter(sources)), id=run_id)
    final = feed.final(run)
    known = [event for event in events if event.source == run.source]
    if final is None and not known and not follow:
        say(f"error: there is no run {run}, or no worker has seen it yet.", err=True)
        say("fix: packhouse status lists the runs there are; --follow waits for this one.", err=True)
        return exits.FAILED
    if final is None and follow:
        for event in feed.watch(run):
            if isinstance(event, CompletedEvent | RejectedEvent):
                final = event
            else:
                _print_event(event, as_json=as_json)
    if final is not None:
        _print_final(final, as_json=as_json)
        return exits.of_final(final)
    if as_json:
        _print_event(known[-1], as_json=True)
        return exits.SUCCEEDED
    say(f"run {run.id} {state_of(known)}")
    for event in known:
        _print_event(event, as_json=False)
    return exits.SUCCEEDED


def state_of(events: list[AnyStatus]) -> str:
    """Where a run stands after these events, in a few words."""
    from packhouse.producers.streams import is_refusal

    own = [event for event in events if not is_refusal(event)] or events
    last = own[-1]
    if isinstance(last, CompletedEvent | RejectedEvent):
        return str(last.data.state).replace("_", " ") if isinstance(last, CompletedEvent) else "rejected"
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
