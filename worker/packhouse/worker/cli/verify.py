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

    from packhouse.schemas.verification import VerifyReport

_MARKS: Final = {"ok": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "yellow")}
_LINES_SHOWN: Final = 20
_STAGES: Final = {"digests": "checking digests", "models": "loading models"}


@click.command()
@click.argument("package", type=click.Path(exists=True, path_type=Path), metavar="PACKAGE")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and nothing else.")
@click.pass_context
def verify(context: click.Context, package: Path, *, as_json: bool) -> None:
    """Check that a package is whole and does what it says.

    PACKAGE is a ZIP file, or the folder that one was unpacked to.

    Looks at the structure of the ZIP file, compares every file with manifest.json, follows every path of
    models_rank.json, reads the JSON files of each candidate, the MLflow files, the lock file of the runtime packages
    and the report, compiles the Python samples without running them, and loads each ONNX model in a process of its own.

    Exit status: 0 all is well, 1 something is wrong, 2 the command was not understood.
    """
    from packhouse.schemas.text import visible_json
    from packhouse.worker.verify.run import verify as run

    with _watcher() as watcher:
        try:
            report = run(package, shown=str(package), watcher=watcher)
        except OSError as error:
            raise click.FileError(str(package), error.strerror) from error
    if as_json:
        click.echo(visible_json(report.model_dump_json(indent=2)))
    else:
        _tell(report)
    context.exit(0 if report.ok else 1)


def _tell(report: VerifyReport) -> None:
    from packhouse.schemas.text import visible
    from packhouse.worker.verify.contents import counted, sized

    for check in report.checks:
        mark, colour = _MARKS[check.state]
        click.echo(f"{click.style(mark, fg=colour)} {check.name:<10} {visible(check.message)}")
        _tell_lines(check.findings)
        _tell_lines(check.notes)
    for each in report.unavailable:
        click.echo(f"{click.style('!', fg='yellow')} not in the package: {visible(f'{each.what}: {each.reason}')}")
    if report.ok:
        summary = f"{report.package} is sound: {counted(report.files, 'file')}, {sized(report.bytes)}, {report.digest}"
        click.secho(visible(summary), fg="green")
    else:
        findings = sum(len(check.findings) for check in report.checks)
        click.secho(f"{visible(report.package)} is NOT sound: {counted(findings, 'finding')}", fg="red")


def _tell_lines(lines: list[str]) -> None:
    from packhouse.schemas.text import visible

    for line in lines[:_LINES_SHOWN]:
        click.echo(f"    {visible(line)}")
    if len(lines) > _LINES_SHOWN:
        click.echo(f"    … and {len(lines) - _LINES_SHOWN} more (see --json)")


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
