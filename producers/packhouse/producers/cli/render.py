"""Rankings and outcomes as tables. The one module of the command line, with ``progress``, that needs rich."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from packhouse.schemas.checks import CheckState
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.errors import Problem
from packhouse.schemas.footprint import Metrics
from packhouse.schemas.ranking import Ranked, RankedCandidate
from packhouse.schemas.status import Completed, CompletedEvent, FinalEvent, PackageResult, PackageState, RunState
from packhouse.schemas.text import visible

_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STATE_STYLE = {
    RunState.SUCCEEDED: "bold green",
    RunState.PARTLY_SUCCEEDED: "bold yellow",
    RunState.FAILED: "bold red",
    RunState.NOTHING_TO_PACKAGE: "bold yellow",
}
_LEAST_WIDTH = 160


def words(text: str, style: str = "") -> Text:
    """A text of others on one line, what cannot be seen spelled out."""
    return Text(visible(text), style)


def console(*, stderr: bool = False) -> Console:
    """The terminal, or where the output goes: there a table is as wide as it has to be for its words."""
    plain = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return plain if plain.is_terminal else Console(stderr=stderr, highlight=False, width=max(_LEAST_WIDTH, plain.width))


def size(count: int | None) -> str:
    """Bytes in the unit that fits."""
    if count is None:
        return ""
    value = float(count)
    for unit in _UNITS:
        if value < _STEP or unit == _UNITS[-1]:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= _STEP
    return ""


def show_final(out: Console, final: FinalEvent) -> None:
    """All that a final event says."""
    if not isinstance(final, CompletedEvent):
        out.print(words(f"run {final.subject} was rejected", style="bold red"))
        for problem in final.data.problems or [final.data.error]:
            _show_problem(out, problem)
        return
    data = final.data
    state = str(data.state).replace("_", " ")
    out.print(
        words(f"run {final.subject} ", style="bold"), words(state, _STATE_STYLE[data.state]),
        words(f" in {data.timings.seconds:.1f} s"), sep="",
    )  # fmt: skip
    if data.error:
        _show_problem(out, data.error)
    if data.packages:
        _show_packages(out, data.packages)
        _show_checks(out, data.packages)
    show_ranking(out, data, everything=data.state is RunState.NOTHING_TO_PACKAGE)
    for warning in data.warnings:
        out.print(words(f"warning: {warning}", style="yellow"))
    if _can_be_retried(data):
        again = f"packhouse retry {shlex.quote(final.subject)}"
        out.print(words(f"{again} makes what failed again, once the cause is mended"), soft_wrap=True)


def _can_be_retried(data: Completed) -> bool:
    """Whether a package failed, or the ranking was given up before there were any."""
    failed = any(package.state is PackageState.FAILED for package in data.packages)
    return failed or (data.state is RunState.FAILED and not data.packages)


def _show_problem(out: Console, problem: Problem) -> None:
    out.print(words(f"error [{problem.code}]: {problem.message}"), soft_wrap=True)
    out.print(words(f"fix: {problem.fix}"), soft_wrap=True)


def _show_packages(out: Console, packages: Sequence[PackageResult]) -> None:
    table = Table(title="Packages", title_justify="left", title_style="bold")
    for name in ("type", "name", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("what came of it", overflow="fold")
    table.add_column("digest", no_wrap=True)
    for package in packages:
        good = package.state is PackageState.SUCCEEDED
        table.add_row(
            str(package.type),
            words(package.name),
            words(str(package.state), style="green" if good else "red"),
            size(package.bytes),
            Text("\n").join(map(words, _outcome(package))),
            (package.digest or "").removeprefix("sha256:")[:12],
        )
    out.print(table)
    for package in packages:
        for warning in package.warnings:
            out.print(words(f"warning: {package.type} {package.name}: {warning}", style="yellow"))


def _show_checks(out: Console, packages: Sequence[PackageResult]) -> None:
    """What trying the models has shown, once for all packages: most say the same."""
    seen = {(check.rank, check.verdict): check for package in packages for check in package.checks}
    passed = {rank for rank, verdict in seen if verdict.state is CheckState.PASSED}
    if passed:
        out.print(words(f"{len(passed)} of {len({rank for rank, _ in seen})} models tried, and passed", style="green"))
    for check in sorted(seen.values(), key=lambda check: check.rank):
        if check.verdict.state is not CheckState.PASSED:
            word = str(check.verdict.state).replace("_", " ")
            out.print(
                words(f"model {check.rank} ({check.accelerator}) {word}: {check.verdict.reason or ''}", style="yellow"),
                soft_wrap=True,
            )


def _outcome(package: PackageResult) -> list[str]:
    if package.error:
        return [f"[{package.error.code}] {package.error.message}", f"fix: {package.error.fix}"]
    return ([package.path] if package.path else []) + [asset.uri for asset in package.assets]


def show_ranking(out: Console, ranking: Ranked, *, everything: bool = False) -> None:
    """The candidates with the values of their objectives; what was left out as a count, or node by node."""
    counts = ranking.counted()
    if ranking.candidates:
        objectives = _objectives(ranking.candidates)
        table = Table(title="Ranking", title_justify="left", title_style="bold")
        table.add_column("rank", justify="right", no_wrap=True)
        table.add_column("accelerator", no_wrap=True)
        table.add_column("model", overflow="fold")
        for name in objectives:
            table.add_column(words(name), justify="right", overflow="fold")
        table.add_column("goals", no_wrap=True)
        for candidate in ranking.candidates:
            goals = "" if candidate.goals_met is None else "met" if candidate.goals_met else "not met"
            values = [_value(candidate.metrics, name) for name in objectives]
            table.add_row(str(candidate.rank), str(candidate.accelerator), words(candidate.model_id), *values, goals)
        out.print(table)
        for candidate in ranking.candidates:
            out.print(words(f"{candidate.rank:>6}  {candidate.reason}"), soft_wrap=True)
    _show_more(out, counts.candidates - len(ranking.candidates), "candidates")
    if everything:
        for each in ranking.left_out:
            out.print(words(f"left out: {each.model_id} ({each.accelerator}) {each.message}"), soft_wrap=True)
        _show_more(out, counts.left_out_in_all - len(ranking.left_out), "left out")
    elif counts.left_out:
        kinds = ", ".join(
            f"{each.count} {str(each.reason).replace('_', ' ')} ({each.accelerator})" for each in counts.left_out
        )
        out.print(words(f"{counts.left_out_in_all} left out: {kinds}", style="dim"), soft_wrap=True)


def _show_more(out: Console, count: int, what: str) -> None:
    """How many a status does not name, where there are any."""
    if count > 0:
        out.print(words(f"… and {count} more {what}", style="dim"), soft_wrap=True)


def _objectives(candidates: Sequence[RankedCandidate]) -> list[str]:
    """Names of the metrics that decide, the weightiest first."""
    priorities = {
        name: metric.priority
        for candidate in candidates
        for name, metric in (candidate.metrics or {}).items()
        if metric.priority >= 1
    }
    return sorted(priorities, key=lambda name: (priorities[name], name))


def _value(metrics: Metrics | None, name: str) -> str:
    metric = (metrics or {}).get(name)
    return "-" if metric is None or metric.value is None else f"{metric.value:.6g}"


def show_runs(out: Console, runs: Sequence[tuple[RunRef, str, datetime | None]]) -> None:
    """Runs with their states and the times of their latest events, in local time."""
    table = Table()
    table.add_column("run", overflow="fold")
    table.add_column("source", overflow="fold")
    table.add_column("state")
    table.add_column("latest event", no_wrap=True)
    for run, state, time in runs:
        table.add_row(
            words(run.id), words(run.source), state, time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else ""
        )
    out.print(table)
