"""What an engine's program calls when Olive has run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packhouse.producers.config import Stack, find_max_event_bytes, find_signing_key, find_stack
from packhouse.producers.feed import StatusFeed
from packhouse.producers.naming import new_event
from packhouse.producers.olive.live import from_footprints, from_workflow_output
from packhouse.producers.olive.output import read_output_dir
from packhouse.producers.packaging_file import as_packaging_configs, read_packaging_configs
from packhouse.producers.publishing import Receipt, publish
from packhouse.producers.runtimes import detect, olive_version
from packhouse.producers.staging import stage
from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.events import RunFinished
from packhouse.schemas.packaging import PackagingConfig
from packhouse.schemas.status import FinalEvent


@dataclass(frozen=True)
class PublishedRun:
    """A run that is in the run queue."""

    receipt: Receipt
    event: RunFinished = field(repr=False)
    stack: Stack = field(repr=False)

    def wait(self, timeout: float | None = None) -> FinalEvent:
        """What came of it, waited for. Raises ``TransientError`` (``timed_out``) after ``timeout`` seconds."""
        receipt = self.receipt
        with StatusFeed(self.stack.redis_url, self.stack.namespace) as feed:
            return feed.wait(
                receipt.run,
                timeout,
                content_digest=receipt.content_digest,
                event_id=receipt.event_id,
                after=receipt.entry_id,
            )


def publish_output(  # noqa: PLR0913 - each has a default that suits most
    output_dir: str | os.PathLike[str],
    packaging_config: str | os.PathLike[str] | list[PackagingConfig] | list[dict[str, Any]] | dict[str, Any],
    *,
    output: Any = None,
    accelerator: Accelerator | str | None = None,
    output_name: str | None = None,
    top: int | None = None,
    stage_to: str | os.PathLike[str] | None = None,
    run_id: str | None = None,
    source: str | None = None,
    redis_url: str | None = None,
    namespace: str | None = None,
) -> PublishedRun:
    """Publish the run of Olive that ended in ``output_dir``. Call it in the engine's own Python environment.

    ``packaging_config`` is what is to be made of it, as Olive's configuration would say it, or a file that holds it.
    ``output`` is what ``olive.run`` returned; without it the files in ``output_dir`` are read, which may need an
    ``accelerator``, or an ``output_name`` where several runs share the folder. ``top`` keeps the best so many of each
    accelerator. With ``stage_to`` the models are first copied to that folder, one that outlives Olive's cache;
    the data of an event that is too large for a message goes there too.

    Runtimes and Olive's version are those of this environment. The server is that of ``redis_url``, else of
    ``PACKHOUSE_REDIS_URL``, else of ``packhouse up`` in the working directory; ``PACKHOUSE_SIGNING_KEY`` signs. Without
    ``run_id`` it follows from the content: publishing an output twice changes nothing.

    Raises ``PermanentError`` where something is wrong with what is given, and ``TransientError``
    (``connection_failed``) where the server does not answer: publishing it again later is safe.
    """
    configs = _configs(packaging_config)
    stack = find_stack(redis_url, namespace)
    options: dict[str, Any] = {
        "packaging_config": configs,
        "top": top,
        "runtime_packages": detect(),
        "engine_version": olive_version(),
    }
    if output is not None:
        reader = from_footprints if isinstance(output, Mapping) else from_workflow_output
        run = reader(output, output_dir=output_dir, **options)
    else:
        run = read_output_dir(output_dir, accelerator=accelerator, output_name=output_name, **options)
    if stage_to is not None:
        run = stage(run, Path(stage_to))
    event = new_event(run, source, run_id)
    receipt = publish(
        event,
        stack.redis_url,
        namespace=stack.namespace,
        signing_key=find_signing_key(),
        max_event_bytes=find_max_event_bytes(),
        data_folder=stage_to,
    )
    return PublishedRun(receipt, event, stack)


def _configs(given: Any) -> list[PackagingConfig]:
    if isinstance(given, str | os.PathLike):
        return read_packaging_configs(given)
    return as_packaging_configs(given, "packaging_config")
