"""What the manifest says of trying the candidates before they were packaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from packhouse.schemas.checks import CheckState, ModelCheck
from packhouse.schemas.files import RankEntry
from packhouse.worker.verify.candidates import folder_of
from packhouse.worker.verify.contents import Contents, Found, Skipped, counted
from packhouse.worker.verify.files import COMPLETE_SINCE


def check_verdicts(contents: Contents) -> Found:
    """Whether there is one verdict for each candidate; those that are no ``passed`` become notes, whatever they are.

    That a model failed is no fault of the package: whether it may be packaged then was for the worker to decide.
    """
    manifest, ranks = contents.need_manifest(), contents.need_ranks()
    checks = manifest.checks
    if not checks and manifest.format < COMPLETE_SINCE:
        raise Skipped(f"packages of format {manifest.format} do not say")
    findings: list[str] = []
    if [check.rank for check in checks] != [entry.rank for entry in ranks]:
        told = counted(len(checks), "verdict")
        findings.append(
            f"there is not one verdict for each rank, in order: {told} for {counted(len(ranks), 'candidate')}"
        )
    by_rank = {entry.rank: entry for entry in ranks}
    for check in checks:
        if (entry := by_rank.get(check.rank)) is not None:
            findings += _about_another(contents, check, entry)
    states = Counter(check.verdict.state for check in checks)
    told = ", ".join(f"{states[state]} {state.replace('_', ' ')}" for state in CheckState if states[state])
    return Found(findings, told, [_note(check) for check in checks if check.verdict.state is not CheckState.PASSED])


def _about_another(contents: Contents, check: ModelCheck, entry: RankEntry) -> Iterator[str]:
    folder = folder_of(entry)
    info = contents.info(folder) if folder else None
    if info is None:
        return
    told = (check.model_id, str(check.accelerator), check.rank_in_accelerator)
    if told != (info.model_id, str(info.accelerator), info.rank_in_accelerator):
        yield f"the verdict on rank {check.rank} is about another model than its folder"


def _note(check: ModelCheck) -> str:
    reason = f": {check.verdict.reason}" if check.verdict.reason else ""
    return f"rank {check.rank} ({check.accelerator}): {check.verdict.state.replace('_', ' ')}{reason}"
