"""``packhouse publish``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from packhouse.producers.cli import exits
from packhouse.producers.cli.options import (
    OUTPUT_DIR,
    PathRuleType,
    RuntimeType,
    StageType,
    reading_options,
    stack_options,
)
from packhouse.producers.cli.say import say, say_json
from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.events import FinishedRun, Package
from packhouse.schemas.paths import PathMap, PathRule

if TYPE_CHECKING:
    from packhouse.producers.feed import StatusFeed
    from packhouse.producers.publishing import Receipt
    from packhouse.schemas.status import FinalEvent


@click.command(epilog=exits.EXIT_STATUSES)
@click.argument("output_dir", type=OUTPUT_DIR)
@click.option(
    "--packaging-config",
    "packaging_file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON: a packaging config, a list of them, or the whole Olive configuration that holds one.",
)
@click.option("--wait", is_flag=True, help="Wait for the packages, show their progress and what came of them.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="With --wait: give up after S seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print the final event alone (without --wait, the receipt).")
@click.option(
    "--map",
    "rules",
    type=PathRuleType(),
    multiple=True,
    help="Paths below FROM in Olive's files are below TO for the worker. Repeatable; the longest FROM wins.",
)
@reading_options
@click.option(
    "--runtime",
    "runtimes",
    type=RuntimeType(),
    multiple=True,
    help="A runtime that the models were measured with, as in onnxruntime==1.20.1. Repeatable.",
)
@click.option(
    "--detect-runtimes",
    is_flag=True,
    help="Take the runtimes, and Olive's version, from the Python environment that this command runs in.",
)
@click.option(
    "--stage-to",
    metavar="DIRECTORY|URL",
    type=StageType(),
    help="First copy the models to this folder, one that stays when the engine cleans up, or to blobs below "
    "https://<account>.blob.core.windows.net/<container>/<path>.",
)
@click.option(
    "--run-id", metavar="ID", help="The run's id. Default: made from the content, so twice the same is one run."
)
@click.option("--again", is_flag=True, help="Package once more what was packaged before, as a new run.")
@click.option("--source", metavar="NAME", help="Who ran it. Default: this machine.")
@stack_options
def publish(  # noqa: PLR0913 - one parameter an option
    output_dir: Path,
    packaging_file: Path,
    *,
    wait: bool,
    timeout: float | None,
    as_json: bool,
    rules: tuple[PathRule, ...],
    accelerator: Accelerator | None,
    output_name: str | None,
    top: int | None,
    runtimes: tuple[Package, ...],
    detect_runtimes: bool,
    stage_to: Path | str | None,
    run_id: str | None,
    again: bool,
    source: str | None,
    data_dir: Path | None,
    redis_url: str | None,
    namespace: str | None,
) -> int:
    """Publish the finished Olive run in OUTPUT_DIR, so that its best models are packaged.

    Packages that are files are put into OUTPUT_DIR. A worker need not run yet: the run waits for one.
    """
    from packhouse.producers.config import find_max_event_bytes, find_signing_key, find_stack
    from packhouse.producers.feed import StatusFeed
    from packhouse.producers.naming import new_event
    from packhouse.producers.olive.output import read_output_dir
    from packhouse.producers.packaging_file import read_packaging_configs
    from packhouse.producers.publishing import publish as put_into_queue
    from packhouse.producers.runtimes import detect, joined, olive_version

    configs = read_packaging_configs(packaging_file)
    stack = find_stack(redis_url, namespace, data_dir)
    run = read_output_dir(
        output_dir,
        packaging_config=configs,
        accelerator=accelerator,
        output_name=output_name,
        top=top,
        runtime_packages=joined(detect() if detect_runtimes else [], runtimes),
        engine_version=olive_version() if detect_runtimes else None,
    )
    event = new_event(_placed(run, PathMap(rules), stage_to), source, run_id, again=again)
    with StatusFeed(stack.redis_url, stack.namespace) as feed:
        earlier = feed.final(event.run)
        receipt = put_into_queue(
            event,
            stack.redis_url,
            namespace=stack.namespace,
            signing_key=find_signing_key(),
            max_event_bytes=find_max_event_bytes(),
            data_folder=stage_to if isinstance(stage_to, Path) else None,
            data_mapping=PathMap(rules),
        )
        if not wait:
            _show_receipt(receipt, earlier, as_json=as_json)
            return exits.SUCCEEDED
        final = _wait(feed, receipt, timeout)
    if earlier and earlier.id == final.id:
        say(f"run {final.subject} was published before: this is its outcome. See also --again.", err=True)
    if as_json:
        say_json(final.model_dump_json(exclude_none=True))
    else:
        from packhouse.producers.cli.render import console, show_final

        show_final(console(), final)
    return exits.of_final(final)


def _placed(run: FinishedRun, mapping: PathMap, stage_to: Path | str | None) -> FinishedRun:
    """The run with its models staged and its paths mapped, each where it is asked for."""
    from packhouse.producers.olive.run import mapped
    from packhouse.schemas.selection import candidates

    if stage_to is None:
        return mapped(run, mapping)
    models = [node.model for footprint in run.footprints for node in candidates(footprint)]
    # The command may run where the engine did, or where the worker does: whose paths are there, those are staged.
    if any(Path(model.model_path).exists() for model in models if model and model.model_path) or not mapping.rules:
        return mapped(_staged(run, stage_to), mapping)
    return _staged(mapped(run, mapping), stage_to)


def _staged(run: FinishedRun, target: Path | str) -> FinishedRun:
    with click.progressbar(length=1, label=f"staging to {target}", file=sys.stderr) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        if isinstance(target, str):
            from packhouse.producers.blob_staging import stage_to_blob

            return stage_to_blob(run, target, progress=advance)
        from packhouse.producers.staging import stage

        return stage(run, target, progress=advance)


def _wait(feed: StatusFeed, receipt: Receipt, timeout: float | None) -> FinalEvent:
    from packhouse.producers.cli.progress import display
    from packhouse.producers.cli.render import console
    from packhouse.schemas.status import CompletedEvent, RejectedEvent

    events = feed.watch(
        receipt.run,
        timeout,
        content_digest=receipt.content_digest,
        event_id=receipt.event_id,
        after=receipt.entry_id,
        progress=True,
    )
    if not receipt.durable:
        say(f"note: the run may be lost if the server loses power: {receipt.note}", err=True)
    try:
        with display(console(stderr=True)) as shown:
            for event in events:
                if isinstance(event, CompletedEvent | RejectedEvent):
                    return event
                shown.show(event)
    except KeyboardInterrupt:
        say(f"run {receipt.run.id} goes on: packhouse status {receipt.run.id} --follow", err=True)
        raise
    raise AssertionError("watch ends with a final event or raises")


def _show_receipt(receipt: Receipt, earlier: FinalEvent | None, *, as_json: bool) -> None:
    if as_json:
        from packhouse.schemas.base import canonical_json

        fields = {"run": receipt.run.model_dump(), "event_id": receipt.event_id, "entry_id": receipt.entry_id}
        fields |= {"content_digest": receipt.content_digest, "durable": receipt.durable, "note": receipt.note}
        say_json(canonical_json(fields).decode())
        return
    say(f"published run {receipt.run.id} (source {receipt.run.source})")
    if not receipt.durable:
        say(f"note: it may be lost if the server loses power: {receipt.note}", err=True)
    if earlier is not None:
        say("it was published before, and has ended: --again packages it anew", err=True)
    say(f"see: packhouse status {receipt.run.id} --source {receipt.run.source}", err=True)
