"""Everything that can go wrong, as people and programs see it: a code, a sentence, a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError

from packhouse.schemas.base import Document

LONGEST_FIELD: Final = 300
LONGEST_SENTENCE: Final = 1000
"""Characters of a complaint's field and of its sentence."""


class ErrorCode(StrEnum):
    """The code of every error that a status event or the command line can carry."""

    # The event
    EVENT_NOT_JSON = "event_not_json"
    EVENT_INVALID = "event_invalid"
    EVENT_TOO_LARGE = "event_too_large"
    RUN_ID_REUSED = "run_id_reused"
    SIGNATURE_INVALID = "signature_invalid"
    # The engine's output
    OUTPUT_NOT_FOUND = "output_not_found"
    OUTPUT_INVALID = "output_invalid"
    ACCELERATOR_UNKNOWN = "accelerator_unknown"
    PACKAGING_CONFIG_INVALID = "packaging_config_invalid"
    # Where things lie
    PATH_FORBIDDEN = "path_forbidden"
    LOCATION_UNSUPPORTED = "location_unsupported"
    # The model
    MODEL_MISSING = "model_missing"
    MODEL_UNREADABLE = "model_unreadable"
    MODEL_NOT_ONNX = "model_not_onnx"
    MODEL_CHANGED = "model_changed"
    MODEL_TYPE_UNSUPPORTED = "model_type_unsupported"
    EXTERNAL_DATA_MISSING = "external_data_missing"
    EXTERNAL_DATA_OUTSIDE = "external_data_outside"
    EXTERNAL_DATA_TRUNCATED = "external_data_truncated"
    LAYOUT_CONFLICT = "layout_conflict"
    MODEL_CHECK_FAILED = "model_check_failed"
    # The package
    PACKAGING_TYPE_UNAVAILABLE = "packaging_type_unavailable"
    MLFLOW_UNSUPPORTED = "mlflow_unsupported"
    DESTINATION_UNWRITABLE = "destination_unwritable"
    DESTINATION_TAKEN = "destination_taken"
    DISK_FULL = "disk_full"
    STORAGE_ERROR = "storage_error"
    PACKAGE_INVALID = "package_invalid"
    RUNTIME_UNAVAILABLE = "runtime_unavailable"
    # Azure
    WORKSPACE_UNKNOWN = "workspace_unknown"
    WORKSPACE_FORBIDDEN = "workspace_forbidden"
    ASSET_VERSION_TAKEN = "asset_version_taken"
    ASSET_FOLDER_DAMAGED = "asset_folder_damaged"
    AZURE_SIGN_IN_FAILED = "azure_sign_in_failed"
    AZURE_FORBIDDEN = "azure_forbidden"
    AZURE_NOT_FOUND = "azure_not_found"
    AZURE_REFUSED = "azure_refused"
    AZURE_UNAVAILABLE = "azure_unavailable"
    # What an operator asks for
    RUN_UNKNOWN = "run_unknown"
    RUN_OPEN = "run_open"
    NOTHING_TO_RETRY = "nothing_to_retry"
    EVENT_NOT_KEPT = "event_not_kept"
    DEAD_LETTER_UNKNOWN = "dead_letter_unknown"
    DEAD_LETTER_TRUNCATED = "dead_letter_truncated"
    # The machinery
    WORKER_LOST = "worker_lost"
    LEASE_LOST = "lease_lost"
    CANCELLED = "cancelled"
    CONNECTION_FAILED = "connection_failed"
    CONFIGURATION_INVALID = "configuration_invalid"
    TIMED_OUT = "timed_out"
    INTERNAL_ERROR = "internal_error"


class Problem(Document):
    """An error as data: what happened, where, and what the reader can do about it."""

    code: Annotated[ErrorCode | str, Field(union_mode="left_to_right")]
    """One of ours; text where it is one that only a newer release has."""
    message: str
    fix: str
    field: str | None = None
    """Dotted path of the field at fault, where the error is about a field of a document."""


class PackhouseError(Exception):
    """The root of every error that Packhouse raises on purpose.

    ``str(error)`` is one sentence of what happened; ``fix`` is what the reader can do.
    """

    def __init__(self, code: ErrorCode, message: str, *, fix: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix
        self.field = field

    @property
    def problem(self) -> Problem:
        """The error as data, for a status event or ``--json``."""
        return Problem(code=self.code, message=self.message, fix=self.fix, field=self.field)


class PermanentError(PackhouseError):
    """Trying again would end the same way: settled at once."""


class TransientError(PackhouseError):
    """May pass by itself: tried again with growing pauses, up to a limit.

    ``retry_after``: seconds that whoever refused asks to wait for, where it said so.
    """

    def __init__(
        self, code: ErrorCode, message: str, *, fix: str, field: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(code, message, fix=fix, field=field)
        self.retry_after = retry_after


def field_path(location: Sequence[str | int]) -> str:
    """``("data", "footprints", 0, "nodes")`` as ``data.footprints.0.nodes``."""
    return ".".join(str(part) for part in location)


def explain(error: ValidationError, *, within: str = "") -> list[tuple[str, str]]:
    """Every complaint of a validation as pairs of field and sentence, in document order.

    Both are cut to length: a field may be a name that the document made up, and there may be many complaints about it.
    """
    pairs: list[tuple[str, str]] = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        message = item["msg"].removeprefix("Value error, ")
        field = ".".join(filter(None, (within, field_path(item["loc"]))))
        pairs.append((_cut(field, LONGEST_FIELD), _cut(message, LONGEST_SENTENCE)))
    return pairs


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def invalid(code: ErrorCode, what: str, complaints: Iterable[tuple[str, str]], *, fix: str) -> PermanentError:
    """The error for a document with complaints; names the first field and counts the others."""
    (field, sentence), *others = complaints
    more = f" (and {len(others)} more)" if others else ""
    return PermanentError(code, f"{what}: {field or 'document'}: {sentence}{more}", fix=fix, field=field or None)


def problem_of(error: BaseException) -> Problem:
    """Any exception as a problem; one that nobody foresaw becomes ``internal_error``."""
    if isinstance(error, PackhouseError):
        return error.problem
    return Problem(
        code=ErrorCode.INTERNAL_ERROR,
        message=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
        fix="This is a defect of Packhouse: report it with the worker's log of this run.",
    )


def describe(problem: Problem | dict[str, Any]) -> str:
    """A problem in one line, for a terminal or a log."""
    if isinstance(problem, dict):
        problem = Problem.model_validate(problem)
    return f"{problem.code}: {problem.message} {problem.fix}".strip()
