"""``packhouse verify``: is this package what it claims to be?"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from packhouse.worker.package.verify import Report

_MARKS: Final = {"ok": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "yellow")}
_FINDINGS_SHOWN: Final = 20
_STAGES: Final = {"digests": "checking digests", "models": "loading models"}


@click.command()
@click.argument("package", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="PACKAGE.zip")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and nothing else.")
@click.pass_context
def verify(context: click.Context, package: Path, *, as_json: bool) -> None:
    """Check that a package is whole and does what it says.

    Looks at the structure of the ZIP file, compares every file with manifest.json, follows every path of
    models_rank.json, reads the JSON files of each candidate, and loads each ONNX model in a process of its own.

    Exit status: 0 all is well, 1 something is wrong, 2 the command was not understood.
    """
    from packhouse.worker.package.verify import verify as run

    with _watcher() as watcher:
        try:
            report = run(package, shown=str(package), watcher=watcher)
        except OSError as error:
            raise click.FileError(str(package), error.strerror) from error
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        _tell(report)
    context.exit(0 if report.ok else 1)


def _tell(report: Report) -> None:
    for check in report.checks:
        mark, colour = _MARKS[check.state]
        click.echo(f"{click.style(mark, fg=colour)} {check.name:<10} {check.message}")
        for finding in check.findings[:_FINDINGS_SHOWN]:
            click.echo(f"    {finding}")
        if len(check.findings) > _FINDINGS_SHOWN:
            click.echo(f"    … and {len(check.findings) - _FINDINGS_SHOWN} more (see --json)")
    count = sum(len(check.findings) for check in report.checks)
    if report.ok:
        summary = f"{report.package} is sound: {report.files} files, {report.bytes} bytes, {report.digest}"
        click.secho(summary, fg="green")
    else:
        click.secho(f"{report.package} is NOT sound: {count} finding{'s' if count != 1 else ''}", fg="red")


class _Silent:
    def stage(self, name: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...


class _Bar:
    """A progress bar, one line for each stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def stage(self, name: str, total: int) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(_STAGES.get(name, name), total=total or None)

    def advance(self, count: int) -> None:
        if self._task is not None:
            self._progress.advance(self._task, count)


@contextmanager
def _watcher() -> Generator[_Silent | _Bar]:
    """A bar on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress)
