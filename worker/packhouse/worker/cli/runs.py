"""``packhouse cancel`` and ``packhouse retry``: what an operator may do with a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.keys import run_key
from packhouse.schemas.text import visible
from packhouse.worker.cli.stack import data_dir_option, server, settings_of

if TYPE_CHECKING:
    from packhouse.worker.ledger import Ledger

_Command = TypeVar("_Command", bound=Callable[..., Any])

_AUTHORITY: Final = "Needs the rights of the server's user operator, or worker: an engine's user may not do this."


def run_argument(command: _Command) -> _Command:
    """Which run is meant."""
    source = click.option("--source", metavar="NAME", help="Who ran it, where several have a run of that id.")
    return click.argument("run_id")(source(command))


@click.command(epilog=_AUTHORITY)
@run_argument
@data_dir_option
def cancel(run_id: str, *, source: str | None, data_dir: Path | None) -> int:
    """End the run RUN_ID: its packages that are not done yet fail with the code cancelled.

    What waits ends at once. What is at work stops within some seconds and leaves nothing behind. A package that is
    being published at this very moment is finished. Packages that are done stay.

    Exit status: 0 it ends, or was over already, 1 there is no such run.
    """
    from packhouse.worker.ledger import Ledger

    settings = settings_of(data_dir)
    with server(settings) as redis:
        ledger = Ledger(redis, settings)
        run = _find(ledger, run_id, source)
        done = ledger.cancel(run_key(run))
    if done.outcome == "unknown":
        raise _unknown(run)
    if done.outcome == "over":
        click.echo(visible(f"run {run.id} is over already: nothing to cancel"))
        return 0
    late = f"; {done.publishing} being published at this moment" if done.publishing else ""
    click.echo(visible(f"run {run.id} is cancelled: {_counted(done.ended, 'job')} ended{late}"))
    return 0


@click.command(epilog=_AUTHORITY)
@run_argument
@click.option("--package", "names", multiple=True, metavar="NAME", help="Only this failed package; may be repeated.")
@data_dir_option
def retry(run_id: str, *, names: tuple[str, ...], source: str | None, data_dir: Path | None) -> int:
    """Make the failed packages of the run RUN_ID again, from the event that it came with.

    The run is open once more, in its next round, and ends with another final event. Packages that succeeded stay as
    they are. What the packages failed for should be mended first: models, folders and settings are looked at anew.

    Exit status: 0 they are being made, 1 they cannot be.
    """
    from packhouse.worker.ledger import Ledger

    settings = settings_of(data_dir)
    with server(settings) as redis:
        ledger = Ledger(redis, settings)
        run = _find(ledger, run_id, source)
        done = ledger.reopen(run_key(run), names)
    if done.outcome == "unknown":
        raise _unknown(run)
    if done.outcome != "reopened":
        raise _refusal(run, done.outcome, done.name)
    what = ", ".join(f"{one.type} {one.name}" for one in done.packages) or "it is ranked anew"
    click.echo(visible(f"run {run.id} is open again, round {done.round}: {what}"))
    click.echo(visible(f"packhouse status {run.id} --follow shows what becomes of it"))
    return 0


def _find(ledger: Ledger, run_id: str, source: str | None) -> RunRef:
    from packhouse.worker.ledger.finding import sources_of

    if source is not None:
        return RunRef(source=source, id=run_id)
    sources = sources_of(ledger, run_id)
    if len(sources) > 1:
        raise click.UsageError(visible(f"Several have a run {run_id}. Say --source: {', '.join(sorted(sources))}."))
    if not sources:
        raise PermanentError(
            ErrorCode.RUN_UNKNOWN,
            f"No event of a run {run_id!r} is on the status stream any more, or yet.",
            fix="packhouse status lists the runs there are. Of an older one, or one not ranked yet, say the --source.",
        )
    return RunRef(source=sources[0], id=run_id)


def _unknown(run: RunRef) -> PermanentError:
    return PermanentError(
        ErrorCode.RUN_UNKNOWN,
        f"The ledger has no run {run}.",
        fix="packhouse status lists the runs there are. Records are kept for PACKHOUSE_RETENTION_DAYS.",
    )


def _refusal(run: RunRef, outcome: str, name: str) -> PermanentError:
    if outcome == "open":
        return PermanentError(
            ErrorCode.RUN_OPEN,
            f"Run {run} is not over yet.",
            fix="Wait for its final status (packhouse status --follow), or end it with packhouse cancel.",
        )
    if outcome == "gone":
        return PermanentError(
            ErrorCode.EVENT_NOT_KEPT,
            f"The event of run {run} is no longer kept, to make room for those of later runs.",
            fix="Publish the run again, with --again; PACKHOUSE_FAILED_EVENT_BYTES says how much is kept.",
        )
    if outcome == "rejected":
        return PermanentError(
            ErrorCode.NOTHING_TO_RETRY,
            f"The event of run {run} was rejected, and so was never a run.",
            fix="Correct it and publish it again, or send it once more as it is with packhouse dead-letters replay.",
        )
    if outcome == "none":
        return PermanentError(
            ErrorCode.NOTHING_TO_RETRY,
            f"Run {run} has no failed package called {name!r}.",
            fix="packhouse status shows its packages.",
        )
    return PermanentError(
        ErrorCode.NOTHING_TO_RETRY,
        f"No package of run {run} failed.",
        fix="To make good packages anew, publish the run again with --again.",
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
