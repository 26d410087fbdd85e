"""The group of all commands. A command's module is imported when the command is called, not before.

Nor is anything else that takes long to import: the probe of a worker comes through here every few seconds.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Final

import click

COMMANDS: Final = "packhouse.commands"
TRACEBACK: Final = "PACKHOUSE_TRACEBACK"

_FAILED: Final = 1
_INTERRUPTED: Final = 130

_IN_A_LINE: Final[Mapping[str, str]] = {
    "up": "Run the whole stack on this machine.",
    "publish": "Publish a finished Olive run, and wait for its packages.",
    "status": "Show what became of runs.",
    "cancel": "End a run: what is not packaged yet fails as cancelled.",
    "retry": "Make the failed packages of a run again.",
    "dead-letters": "List, show, replay or drop what could not be understood.",
    "rank": "Rank the candidates of an Olive run, packaging nothing.",
    "verify": "Check a package: structure, digests, models.",
    "doctor": "Check what a worker needs: server, storage, Azure.",
    "health": "Say whether a worker is alive, or ready: for probes.",
    "gc": "Remove folders of assets that nothing registered refers to.",
}
"""What each command does, here and not in its module: the list of commands is shown without importing them."""


class LazyGroup(click.Group):
    """A group whose commands are the entry points ``packhouse.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Ours in the order in which a person meets them, then those of other distributions."""
        names = {entry.name for entry in metadata.entry_points(group=COMMANDS)}
        return [name for name in _IN_A_LINE if name in names] + sorted(names - set(_IN_A_LINE))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command, imported; None if there is none of that name."""
        for entry in metadata.entry_points(group=COMMANDS, name=cmd_name):
            try:
                return entry.load()
            except ImportError as error:
                from packhouse.schemas.errors import ErrorCode, PermanentError

                raise PermanentError(
                    ErrorCode.CONFIGURATION_INVALID,
                    f"packhouse {cmd_name} is not installed whole: {error}.",
                    fix="Install packhouse[worker], or packhouse[local] for packhouse up.",
                ) from error
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in a line each."""
        rows: list[tuple[str, str]] = []
        for name in self.list_commands(ctx):
            line = _IN_A_LINE.get(name)
            if line is None:
                command = self.get_command(ctx, name)
                line = command.get_short_help_str(80) if command else ""
            rows.append((name, line))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with `packhouse up`; then, in another shell, `packhouse publish OUTPUT_DIR --packaging-config FILE "
    "--wait`.",
)
@click.version_option(package_name="packhouse", message="%(prog)s %(version)s")
def packhouse() -> None:
    """Packhouse ranks the models of finished optimization runs and packs them."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status. Nothing that a user can cause ends in a traceback."""
    try:
        status = packhouse.main(
            args=None if arguments is None else list(arguments), prog_name="packhouse", standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has gone (| head): nothing is left to say, nor to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except Exception as error:  # noqa: BLE001 - the last line of defence: a defect is reported as one
        return _explain(error)
    return status if isinstance(status, int) else 0


def _explain(error: Exception) -> int:
    from packhouse.producers.cli import exits
    from packhouse.producers.cli.say import say
    from packhouse.schemas.errors import ErrorCode, PackhouseError

    if isinstance(error, PackhouseError):
        exits.show(error)
        return exits.of_error(error)
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    say(f"error [{ErrorCode.INTERNAL_ERROR}]: {type(error).__name__}: {error}", err=True)
    say(f"fix: This is a defect of Packhouse: report it with what {TRACEBACK}=1 shows.", err=True)
    return exits.FAILED
