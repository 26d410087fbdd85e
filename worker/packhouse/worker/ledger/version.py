"""The version of the ledger's records, so that workers of several releases do each other no harm.

A change that only adds what older workers pass over keeps the number. Any other raises it, also one of what is frozen
in a plan, which older workers would not read: from the first call of a newer worker on, the scripts refuse older ones,
and their work is done again by newer ones. A record is carried over by being read: this release reads each version from
``OLDEST`` on as it was written.
"""

from __future__ import annotations

from typing import Final

from redis.exceptions import ResponseError

from packhouse.schemas.errors import ErrorCode, PermanentError

VERSION: Final = 2
"""What this release writes. 1 had no number yet, and plans without verdicts, runtime packages and reports."""
OLDEST: Final = 1
"""What it still reads."""

_REFUSED: Final = "LEDGERVERSION "
"""How ``common.lua`` begins its refusal."""


class LedgerVersionError(ResponseError):
    """The ledger is of a version that this release must not touch: the server refuses, as it may for other reasons."""

    def __init__(self, found: int) -> None:
        super().__init__(f"{_REFUSED}{found}")
        self.found = found

    @classmethod
    def of(cls, error: ResponseError) -> LedgerVersionError | None:
        """The refusal that a script answered with; None where the answer is another."""
        _, said, number = str(error).partition(_REFUSED)
        return cls(int(number)) if said else None

    @property
    def explained(self) -> PermanentError:
        """For the operator."""
        fix = (
            "Upgrade this worker to the release of the workers that it shares the ledger with."
            if self.found > VERSION
            else f"Let a release in between, which reads version {self.found}, take the ledger over first."
        )
        return PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"The ledger is of version {self.found}; this release reads versions {OLDEST} to {VERSION}.",
            fix=f"{fix} Another PACKHOUSE_NAMESPACE is another ledger.",
        )


def refuse_unknown(found: int) -> None:
    """Raise ``LedgerVersionError`` where this release must not touch a ledger of that version."""
    if not OLDEST <= found <= VERSION:
        raise LedgerVersionError(found)
