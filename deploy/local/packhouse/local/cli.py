"""``packhouse up``."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import click

_LISTEN_SECONDS: Final = 0.2
"""How often the main thread wakes up: it alone hears of signals, and the system may give them to another."""


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".packhouse"),
    show_default=True,
    help="Folder that holds all state: the server's data, Flower's, logs, and the file env that other commands read.",
)
@click.option(
    "--root",
    "roots",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Folder that models are read from and packages written to; nothing outside is touched. May be repeated. "
    "[default: the current folder]",
)
@click.option(
    "--map",
    "maps",
    metavar="FROM=TO",
    multiple=True,
    help="Where a folder of the engine's machine is found on this one. May be repeated.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="How many packages are made at the same time.",
)
@click.option("--flower/--no-flower", default=True, help="Whether to start Flower, the web page that shows the tasks.")
@click.option(
    "--azure/--no-azure",
    default=True,
    help="Whether to start a stand-in for Azure ML and blob storage. It needs node and npm, and is left out where a "
    "real workspace is set.",
)
def up(
    data_dir: Path, roots: tuple[Path, ...], maps: tuple[str, ...], concurrency: int, *, flower: bool, azure: bool
) -> None:
    """Run a whole Packhouse on this machine, in the foreground: a Redis-compatible server, workers and Flower.

    When it is ready it prints one line, "ready redis=<url> flower=<url>". Then, in another shell, "packhouse publish"
    sends it the results of an optimization run. Ctrl-C stops it: packages in work are finished or handed back, and the
    next start on the same data folder goes on where this one was. A second Ctrl-C does not wait.

    \b
    Examples:
      packhouse up
      packhouse up --root /mnt/olive --map /srv/olive=/mnt/olive --concurrency 4
    """  # noqa: D301 (the \b is click's mark for a paragraph that keeps its lines)
    from packhouse.local.stack import Stack
    from packhouse.schemas.errors import PackhouseError

    stack = Stack(data_dir, roots or (Path.cwd(),), maps=maps, concurrency=concurrency, flower=flower, azure=azure)
    asked = threading.Event()

    def stop(_number: int, _frame: Any) -> None:
        if asked.is_set():
            stack.hurry()
        else:
            asked.set()
            stack.ask_to_stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    began = time.monotonic()
    try:
        stack.start()
    except PackhouseError:
        if asked.is_set():
            return
        raise
    sys.stdout.write(f"ready redis={stack.redis_url} flower={stack.flower_url or 'off'}\n")
    sys.stdout.flush()
    if workspace := stack.azure_environment.get("PACKHOUSE_AZURE_WORKSPACES"):
        click.echo(f"packhouse: Azure is stood in for; its workspace is {workspace}", err=True)
    click.echo(f"packhouse: up in {time.monotonic() - began:.1f} s; Ctrl-C stops it.", err=True)
    while not asked.wait(_LISTEN_SECONDS):
        pass
    click.echo("packhouse: stopping; packages in work are finished or handed back. Ctrl-C again hurries.", err=True)
    stack.stop()
