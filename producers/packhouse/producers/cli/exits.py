"""Exit statuses, and errors as people see them on a terminal."""

from __future__ import annotations

from typing import Final

from packhouse.producers.cli.say import say
from packhouse.schemas.errors import ErrorCode, PackhouseError
from packhouse.schemas.status import CompletedEvent, FinalEvent, RunState

SUCCEEDED: Final = 0
FAILED: Final = 1
USAGE: Final = 2
PARTLY: Final = 3
TIMED_OUT: Final = 4
UNREACHABLE: Final = 5

_OF_STATE: Final = {
    RunState.SUCCEEDED: SUCCEEDED,
    RunState.PARTLY_SUCCEEDED: PARTLY,
    RunState.FAILED: FAILED,
    RunState.NOTHING_TO_PACKAGE: FAILED,
}
_OF_ERROR: Final = {
    ErrorCode.TIMED_OUT: TIMED_OUT,
    ErrorCode.CONFIGURATION_INVALID: UNREACHABLE,
    ErrorCode.CONNECTION_FAILED: UNREACHABLE,
    ErrorCode.EVENT_INVALID: USAGE,
    ErrorCode.PACKAGING_CONFIG_INVALID: USAGE,
    ErrorCode.ACCELERATOR_UNKNOWN: USAGE,
    ErrorCode.OUTPUT_NOT_FOUND: USAGE,
}

EXIT_STATUSES: Final = (
    "Exit status: 0 succeeded, 1 failed, rejected or nothing to package, 2 usage, 3 partly succeeded, 4 timed out, "
    "5 configuration or no connection."
)


def of_final(final: FinalEvent) -> int:
    """The exit status for how a run ended."""
    return _OF_STATE[final.data.state] if isinstance(final, CompletedEvent) else FAILED


def of_error(error: PackhouseError) -> int:
    """The exit status for an error that stopped a command."""
    return _OF_ERROR.get(error.code, FAILED)


def show(error: PackhouseError) -> None:
    """An error in two lines on standard error."""
    for line in f"error [{error.code}]: {error.message}\nfix: {error.fix}".split("\n"):
        say(line, err=True)
