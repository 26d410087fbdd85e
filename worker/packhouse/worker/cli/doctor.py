"""``packhouse doctor``: is everything there that a worker needs?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from packhouse.worker.cli.stack import data_dir_option, settings_of

if TYPE_CHECKING:
    from packhouse.worker.doctor.finding import Finding
    from packhouse.worker.settings import Settings

_MARKS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red"), "skipped": ("-", "yellow")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print every finding as JSON, one a line, and nothing else.")
@data_dir_option
def doctor(*, as_json: bool, data_dir: Path | None) -> int:
    """Check what a worker with these settings needs, and say what to do where something is amiss.

    Looks at the server (version, persistence, memory), the storage roots, what trying models and fetching runtime
    packages needs, and where Azure is set up, at signing in, the workspaces, their datastores, and the containers that
    events may name. Where assets go, a small blob is written and removed again.

    Exit status: 0 all is well or merely a warning, 1 something has to be done.
    """
    from packhouse.worker.doctor.finding import State

    amiss = False
    for finding in _findings(settings_of(data_dir)):
        amiss = amiss or finding.state is State.FAILED
        if as_json:
            click.echo(finding.model_dump_json(exclude_none=True))
        else:
            mark, colour = _MARKS[finding.state]
            line = " ".join(filter(None, (finding.message, finding.fix)))
            click.echo(f"{click.style(mark, fg=colour)} {finding.name:<12} {line}")
    return 1 if amiss else 0


def _findings(settings: Settings) -> Iterator[Finding]:
    from packhouse.worker.doctor.azure import check_azure
    from packhouse.worker.doctor.caches import check_shared
    from packhouse.worker.doctor.redis import check_redis
    from packhouse.worker.doctor.storage import check_storage
    from packhouse.worker.doctor.trials import check_runtimes, check_trials

    yield from check_redis(settings)
    yield from check_storage(settings)
    yield from check_trials(settings)
    yield from check_runtimes(settings)
    yield from check_shared(settings)
    yield from check_azure(settings)
