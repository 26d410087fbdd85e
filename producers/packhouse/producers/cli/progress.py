"""Showing a run's events as they come: bars on a terminal, lines elsewhere. Always on standard error."""

from __future__ import annotations

from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TransferSpeedColumn

from packhouse.producers.cli.say import say
from packhouse.producers.streams import AnyStatus
from packhouse.schemas.status import (
    AcceptedEvent,
    PackageDelayedEvent,
    PackageFailedEvent,
    PackageProgressEvent,
    PackageRef,
    PackageStartedEvent,
    PackageSucceededEvent,
    ReopenedEvent,
)
from packhouse.schemas.text import visible


class Display(Protocol):
    """What events are shown on."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: AnyStatus) -> None:
        """An event has come."""
        ...


def display(out: Console) -> Display:
    """Bars where somebody looks on, else lines."""
    return Bars(out) if out.is_terminal else Lines()


def line_of(event: AnyStatus) -> str | None:
    """An event in a line; None for progress."""
    if isinstance(event, AcceptedEvent):
        counts, packages = event.data.ranking.counted(), len(event.data.packages)
        return (
            f"accepted: {counts.candidates} candidates, {counts.left_out_in_all} left out, "
            f"{packages} {'package' if packages == 1 else 'packages'} to make"
        )
    if isinstance(event, PackageStartedEvent):
        again = f", attempt {event.data.attempt}" if event.data.attempt > 1 else ""
        return f"started: {_title(event.data.package)} on {event.data.worker}{again}"
    if isinstance(event, PackageSucceededEvent):
        return f"succeeded: {_title(event.data)} {event.data.path or ''}".rstrip()
    if isinstance(event, PackageFailedEvent):
        error = event.data.error
        return f"failed: {_title(event.data)}" + (f" [{error.code}] {error.message}" if error else "")
    if isinstance(event, PackageDelayedEvent):
        data = event.data
        return (
            f"delayed: {_title(data.package)}, again in {data.seconds:.0f} s: [{data.error.code}] {data.error.message}"
        )
    if isinstance(event, ReopenedEvent):
        again = ", ".join(map(_title, event.data.packages)) or "the ranking and all packages"
        return f"reopened, round {event.data.round}: {again}"
    return None


class Lines:
    """A line for each event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: AnyStatus) -> None:
        """An event has come."""
        line = line_of(event)
        if line:
            say(line, err=True)


class Bars:
    """A bar for each package."""

    def __init__(self, out: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[stage]}", markup=False),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=out,
        )
        self._bars: dict[str, TaskID] = {}
        self._waiting: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        self._waiting = self._progress.add_task("waiting for a worker", total=None, stage="")
        return self

    def __exit__(self, *_: object) -> None:
        self._no_longer_waiting()
        self._progress.stop()

    def show(self, event: AnyStatus) -> None:
        """An event has come."""
        self._no_longer_waiting()
        if isinstance(event, AcceptedEvent):
            for package in event.data.packages:
                self._bar(package, "waiting")
        elif isinstance(event, PackageStartedEvent):
            self._bar(event.data.package, "started")
        elif isinstance(event, PackageProgressEvent):
            data = event.data
            self._bar(data.package, data.stage, completed=data.bytes_done, total=data.bytes_total or None)
        elif isinstance(event, PackageDelayedEvent):
            self._bar(event.data.package, "delayed")
        elif isinstance(event, ReopenedEvent):
            for package in event.data.packages:
                self._bar(package, "waiting")
        elif isinstance(event, PackageSucceededEvent):
            done = event.data.bytes or 1
            self._bar(event.data, "succeeded", completed=done, total=done)
        elif isinstance(event, PackageFailedEvent):
            self._bar(event.data, "failed")

    def _no_longer_waiting(self) -> None:
        if self._waiting is not None:
            self._progress.remove_task(self._waiting)
            self._waiting = None

    def _bar(self, package: PackageRef, stage: str, completed: int | None = None, total: int | None = None) -> None:
        title = visible(_title(package))
        if title not in self._bars:
            self._bars[title] = self._progress.add_task(title, total=None, stage="")
        self._progress.update(self._bars[title], stage=stage, completed=completed, total=total)


def _title(package: PackageRef) -> str:
    return visible(f"{package.type} {package.name}")
