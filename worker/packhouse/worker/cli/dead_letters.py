"""``packhouse dead-letters``: what came by the run queue and could not be understood."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from packhouse.schemas.base import canonical_json
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.text import visible, visible_json
from packhouse.worker.cli.stack import data_dir_option, server, settings_of

if TYPE_CHECKING:
    from packhouse.worker.ledger.letters import DeadLetters, Letter
    from packhouse.worker.settings import Settings

_SHOWN: Final = 64 * 1024
"""Most bytes of an event that are shown on a terminal."""
_ENTRY: Final = r"^\d{1,20}-\d{1,20}$"


class EntryType(click.ParamType[str]):
    """The id of a dead letter, as the list shows it."""

    name = "ID"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id; a usage error for anything else."""
        import re

        if not re.match(_ENTRY, value):
            self.fail(f"{value!r} is no id of a dead letter. packhouse dead-letters lists them.", param, ctx)
        return value


@click.group("dead-letters", invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many to list.")
@click.option("--json", "as_json", is_flag=True, help="Print every letter as JSON, one a line.")
@data_dir_option
@click.pass_context
def dead_letters(context: click.Context, *, limit: int, as_json: bool, data_dir: Path | None) -> int:
    """List what came by the run queue and could not be understood, the newest first.

    What they hold came from others: it is shown with what cannot be seen spelled out.

    Exit status: 0 done, 1 it could not be done.
    """
    if context.invoked_subcommand is not None:
        return 0
    with _opened(data_dir) as (letters, _):
        found = letters.latest(limit)
    for letter in found:
        click.echo(visible_json(json.dumps(_row(letter))) if as_json else visible(_line(letter)))
    if not found and not as_json:
        click.echo("no dead letters")
    return 0


@dead_letters.command()
@click.argument("letter", type=EntryType())
@click.option("--raw", is_flag=True, help="Write the event as it came to standard output, and nothing else.")
@data_dir_option
def show(letter: str, *, raw: bool, data_dir: Path | None) -> int:
    """Show the dead letter ID: why it is one, and its event."""
    with _opened(data_dir) as (letters, _):
        found = letters.event(letter)
    if found is None:
        raise _unknown(letter)
    fields, event = found
    if raw:
        sys.stdout.buffer.write(event)
        return 0
    click.echo(f"arrived  {_time(fields.get('entry') or letter)}")
    click.echo(visible(f"reason   {fields.get('reason', '')}"))
    click.echo(visible(f"digest   {fields.get('digest', '')}"))
    length = int(fields.get("bytes", 0))
    kept = "" if length == len(event) else f", of which {len(event)} are kept: it cannot be replayed"
    click.echo(f"event    {length} bytes{kept}")
    for line in event[:_SHOWN].decode("utf-8", "replace").splitlines():
        click.echo(visible(line))
    if len(event) > _SHOWN:
        click.echo(f"({len(event) - _SHOWN} bytes more: --raw writes all of it)")
    return 0


@dead_letters.command()
@click.argument("ids", type=EntryType(), nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@data_dir_option
def drop(ids: tuple[str, ...], *, everything: bool, data_dir: Path | None) -> int:
    """Throw the dead letters IDS away."""
    _one_or_all(ids, everything=everything)
    with _opened(data_dir) as (letters, _):
        count = letters.drop(ids)
    if len(ids) > count:
        raise _unknown(*ids)
    click.echo(f"{count} dropped")
    return 0


@dead_letters.command()
@click.argument("ids", type=EntryType(), nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are whole.")
@click.option("--sign", is_flag=True, help="Where events have to be signed: vouch for these, and sign them anew.")
@data_dir_option
def replay(ids: tuple[str, ...], *, everything: bool, sign: bool, data_dir: Path | None) -> int:
    """Send the events of the dead letters IDS to the run queue once more, as they came.

    For what may be understood now: by a newer version, or with other settings. What is still no event comes back as a
    new dead letter.
    """
    _one_or_all(ids, everything=everything)
    with _opened(data_dir) as (letters, settings):
        if settings.event_keys and not sign:
            raise PermanentError(
                ErrorCode.SIGNATURE_INVALID,
                "Events have to be signed here, and a signature does not last.",
                fix="Look at the letter (show); if it may be packaged, --sign vouches for it.",
            )
        # The oldest first, as they came.
        wanted = list(ids) or [one.id for one in reversed(letters.latest(settings.dead_letter_length)) if one.whole]
        for letter in wanted:
            click.echo(f"{letter} is on the run queue again, as {_replay(letters, letter, settings, sign=sign)}")
    if not wanted:
        click.echo("no dead letter is whole: nothing to replay")
    return 0


def _replay(letters: DeadLetters, letter: str, settings: Settings, *, sign: bool) -> str:
    instead, signature = b"", ""
    if sign and settings.event_keys:
        from packhouse.schemas.keys import Keys

        found = letters.event(letter)
        instead = _made_now(found[1]) if found else b""
        signature = settings.event_keys[0].sign(instead, Keys(settings.namespace).run_queue)
    done = letters.replay(letter, instead=instead, signature=signature)
    if done.outcome == "unknown":
        raise _unknown(letter)
    if done.outcome == "truncated":
        raise PermanentError(
            ErrorCode.DEAD_LETTER_TRUNCATED,
            f"Of the dead letter {letter} only the first part is kept.",
            fix="Publish the run again. PACKHOUSE_DEAD_LETTER_BYTES says how much of a letter is kept.",
        )
    return done.entry


def _made_now(event: bytes) -> bytes:
    """The event with the present as its time: a signed one must be young."""
    try:
        value = json.loads(event)
    except (ValueError, RecursionError):
        return event
    return canonical_json(value | {"time": datetime.now(UTC).isoformat()}) if isinstance(value, dict) else event


@contextmanager
def _opened(data_dir: Path | None) -> Generator[tuple[DeadLetters, Settings]]:
    from packhouse.worker.ledger import Ledger
    from packhouse.worker.ledger.letters import DeadLetters

    settings = settings_of(data_dir)
    with server(settings, decode=False) as redis:
        yield DeadLetters(Ledger(redis, settings)), settings


def _one_or_all(ids: tuple[str, ...], *, everything: bool) -> None:
    if bool(ids) == everything:
        raise click.UsageError("Say which: ids, or --all.")


def _names(letter: Letter) -> tuple[str, str]:
    """Run id and source, as far as they can be read."""
    from packhouse.worker.intake.envelope import read_head

    head = read_head(letter.head)
    return head.subject or "", head.source or ""


def _row(letter: Letter) -> dict[str, object]:
    run, source = _names(letter)
    return {
        "id": letter.id,
        "time": _time(letter.id),
        "run": run or None,
        "source": source or None,
        "reason": letter.reason,
        "bytes": letter.bytes,
        "whole": letter.whole,
        "digest": letter.digest,
    }


def _line(letter: Letter) -> str:
    run, source = _names(letter)
    who = f"run {run[:60]} of {source[:60]}" if run else "no run id"
    cut = "" if letter.whole else ", truncated"
    return f"{letter.id}  {_time(letter.id)}  {who}  {letter.bytes} bytes{cut}  {letter.reason[:300]}"


def _time(entry: str) -> str:
    """When an entry of a stream was made, by the server's clock."""
    return datetime.fromtimestamp(int(entry.partition("-")[0]) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _unknown(*letters: str) -> PermanentError:
    which = "There is no dead letter" if len(letters) == 1 else "Not all of these are dead letters:"
    return PermanentError(
        ErrorCode.DEAD_LETTER_UNKNOWN,
        f"{which} {', '.join(letters)}.",
        fix="packhouse dead-letters lists those there are.",
    )
