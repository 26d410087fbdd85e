"""``packhouse gc``: remove what no asset refers to."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from packhouse.worker.cli.stack import data_dir_option, server, settings_of

if TYPE_CHECKING:
    from packhouse.worker.azure.collecting import Judged

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SAYS: Final = {
    "kept": "is registered",
    "young": "is not registered, and younger than the grace time",
    "in_use": "is not registered, and a worker uses it",
    "unused": "is not registered: --delete removes it",
    "removed": "was not registered: removed",
}


class Duration(click.ParamType[Any]):
    """``7d``, ``12h``, ``30m``, ``10s``."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The time; a usage error for anything else."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r} is no time. Write a number and s, m, h or d, as in 7d.", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.command()
@click.option("--delete", is_flag=True, help="Remove the folders. Without it they are only shown.")
@click.option(
    "--grace",
    type=Duration(),
    default="7d",
    show_default=True,
    help="Folders written to within this time stay: their assets may be about to be registered.",
)
@click.option("--json", "as_json", is_flag=True, help="Print every folder as JSON, one a line, and nothing else.")
@data_dir_option
def gc(*, delete: bool, grace: timedelta, as_json: bool, data_dir: Path | None) -> int:
    """Remove folders of assets that no registered model or data asset refers to.

    Looks below the prefix of Packhouse in the datastore of each workspace of the settings. Archived versions count as
    registered. Another Packhouse that writes into the same folders is respected for the grace time only.

    Exit status: 0 done, 1 it could not be done.
    """
    from packhouse.worker.azure.access import Azure
    from packhouse.worker.azure.collecting import Collection, Verdict
    from packhouse.worker.ledger import Collector, Ledger

    settings = settings_of(data_dir)
    azure = Azure(settings)
    azure.workspace(None)  # says so where there is none
    with server(settings) as redis:
        collection = Collection(azure, Collector(Ledger(redis, settings)), grace)
        judged = collection.judge()
        for at, each in enumerate(judged):
            done = collection.remove(each) if delete and each.verdict is Verdict.UNUSED else each
            judged[at] = done
            _tell(done, as_json=as_json)
    if not as_json:
        _sum_up(judged, delete=delete)
    return 0


def _tell(judged: Judged, *, as_json: bool) -> None:
    folder = judged.folder
    if as_json:
        row = {
            "folder": str(folder.address),
            "verdict": judged.verdict,
            "files": len(folder.files),
            "bytes": folder.bytes,
            "written": folder.newest.isoformat(),
        }
        click.echo(json.dumps(row))
    elif judged.verdict != "kept":
        age = datetime.now(UTC) - folder.newest
        click.echo(f"{folder.address}  {folder.bytes} bytes, {_age(age)} old, {_SAYS[judged.verdict]}")


def _sum_up(judged: list[Judged], *, delete: bool) -> None:
    kept = sum(each.verdict == "kept" for each in judged)
    done = [each for each in judged if each.verdict == ("removed" if delete else "unused")]
    what = "removed" if delete else "would be removed"
    size = sum(each.folder.bytes for each in done)
    click.echo(f"{len(judged)} folders, {kept} registered; {len(done)} of {size} bytes {what}")


def _age(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours / 24:.1f} d" if hours >= 48 else f"{hours:.1f} h"  # noqa: PLR2004 (two days)
