"""``packhouse health``: the probe of a worker. It imports little, since it is run every few seconds."""

from __future__ import annotations

import os

import click

from packhouse.worker.identity import place
from packhouse.worker.vitals import RUN_DIR, probe, run_dir


@click.command()
@click.option("--live/--ready", default=False, help="Ask whether it should be left alone, or whether it can take work.")
def health(*, live: bool) -> int:
    """Say whether the workers of this machine or container are alive, or ready (the default), in one line.

    --live fails where a worker hangs, was stopped, or has been without the server for too long: it should be started
    anew. A busy one is alive. --ready fails besides while it starts or stops, does not reach the server, or a storage
    root is missing. Workers are found by PACKHOUSE_RUN_DIR.

    Exit status: 0 yes, 1 no.
    """
    answer = probe(run_dir(os.environ.get(RUN_DIR)), place(), ready=not live)
    click.echo(answer.line)
    return 0 if answer.healthy else 1
