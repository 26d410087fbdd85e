"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.errors import PackhouseError
from packhouse.schemas.events import Package
from packhouse.schemas.paths import PathRule

_Command = TypeVar("_Command", bound=Callable[..., Any])


class PathRuleType(click.ParamType[Any]):
    """``FROM=TO``."""

    name = "FROM=TO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> PathRule:
        """The rule; a usage error for anything else."""
        try:
            return value if isinstance(value, PathRule) else PathRule.parse(value)
        except PackhouseError as error:
            self.fail(f"{error.message} {error.fix}", param, ctx)


class StageType(click.ParamType[Any]):
    """A folder, or the address of a folder of blobs."""

    name = "DIRECTORY|URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """The folder, or the address as it came; a usage error for anything else."""
        from packhouse.schemas.blob.address import BlobAddress

        if not isinstance(value, str) or "://" not in value:
            return click.Path(file_okay=False, path_type=Path).convert(value, param, ctx)
        try:
            BlobAddress.parse(value)
        except PackhouseError as error:
            self.fail(f"{error.message} {error.fix}", param, ctx)
        return value


class RuntimeType(click.ParamType[Any]):
    """``NAME==VERSION``."""

    name = "NAME==VERSION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Package:
        """The package; a usage error for anything else."""
        from packhouse.producers.runtimes import parse

        try:
            return value if isinstance(value, Package) else parse(value)
        except PackhouseError as error:
            self.fail(f"{error.message} {error.fix}", param, ctx)


class AcceleratorType(click.ParamType[Any]):
    """``DEVICE-EP``."""

    name = "DEVICE-EP"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Accelerator:
        """The accelerator; a usage error for anything else."""
        try:
            return value if isinstance(value, Accelerator) else Accelerator.parse(value)
        except ValueError:
            self.fail(f"{value!r} is not known. Write DEVICE-EP, as in cpu-cpu, cpu-openvino or gpu-cuda.", param, ctx)


OUTPUT_DIR = click.Path(exists=True, file_okay=False, path_type=Path)


def reading_options(command: _Command) -> _Command:
    """How an output_dir is read."""
    for option in (
        click.option(
            "--top",
            type=click.IntRange(min=1),
            metavar="N",
            help="Package the best N candidates of each accelerator. Default: all.",
        ),
        click.option("--output-name", metavar="NAME", help="The output name, where several runs share the folder."),
        click.option(
            "--accelerator",
            type=AcceleratorType(),
            help="What the run was for, as in cpu-cpu or gpu-cuda. Needed where Olive's files do not tell.",
        ),
    ):
        command = option(command)
    return command


def stack_options(command: _Command) -> _Command:
    """How the stack is found."""
    for option in (
        click.option("--namespace", metavar="NAME", help="Namespace of the stack's keys. Default: the stack's own."),
        click.option("--redis-url", metavar="URL", help="The server's address. Default: PACKHOUSE_REDIS_URL."),
        click.option(
            "--data-dir",
            type=click.Path(path_type=Path),
            help="The data folder of a stack that `packhouse up` runs on this machine.  [default: .packhouse]",
        ),
    ):
        command = option(command)
    return command
