"""How Flower shows our tasks. Flower's configuration files take over the two names, which are options of Flower."""

from __future__ import annotations

from typing import Any, Final

from packhouse.worker.service import JobFailed

tasks_columns: Final = "name,args,state,result,uuid,received,runtime,worker"
"""Not ``exception``: Flower puts that column's text into its page as markup, and ours tells what engines wrote."""

_FAILED: Final = f"{JobFailed.__name__}: "


def format_task(task: Any) -> Any:
    """A task as it is shown: the reason of a failure stands where the result of a success does.

    ``task`` is Flower's copy of a ``celery.events.state.Task``. The traceback of a defect stays; that of a job which
    was settled as failed leads to the line that settles jobs, whatever the reason.
    """
    reason = task.exception
    if reason:
        task.result = reason.removeprefix(_FAILED)
        if reason.startswith(_FAILED):
            task.exception = task.traceback = None
    elif task.result:
        task.result = task.result.strip("'")
    return task
