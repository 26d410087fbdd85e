"""``packhouse rank``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Final

import click

from packhouse.producers.cli import exits
from packhouse.producers.cli.options import OUTPUT_DIR, reading_options
from packhouse.producers.cli.say import say_json
from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.ranking import Ranking

RANKING: Final = "packhouse.ranking"


@click.command(epilog="Exit status: 0 there are candidates, 1 there are none, 2 usage.")
@click.argument("output_dir", type=OUTPUT_DIR)
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print the ranking as JSON, with every node that was left out.")
def rank(
    output_dir: Path, accelerator: Accelerator | None, output_name: str | None, top: int | None, *, as_json: bool
) -> int:
    """Rank the candidates in OUTPUT_DIR, where an Olive run left its files, and say why each stands where it does.

    Objectives are compared in the order of their priorities, equal values go to the next. Nothing is packaged and no
    server is needed.
    """
    from packhouse.producers.olive.output import read_output_dir

    run = read_output_dir(output_dir, accelerator=accelerator, output_name=output_name, top=top)
    ranking = find_ranking()(run)
    if as_json:
        say_json(ranking.model_dump_json(indent=2))
    else:
        from packhouse.producers.cli.render import console, show_ranking

        show_ranking(console(), ranking, everything=not ranking.candidates)
    return exits.SUCCEEDED if ranking.candidates else exits.FAILED


def find_ranking() -> Callable[[FinishedRun], Ranking]:
    """How the worker ranks. Raises ``PermanentError`` (``configuration_invalid``) where it is not installed."""
    for entry in metadata.entry_points(group=RANKING, name="default"):
        try:
            return entry.load()
        except ImportError as error:
            raise _not_installed() from error
    raise _not_installed()


def _not_installed() -> PermanentError:
    return PermanentError(
        ErrorCode.CONFIGURATION_INVALID,
        "Ranking comes with the worker, which is not installed here.",
        fix="Install packhouse[worker].",
    )
