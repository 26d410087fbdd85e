"""Why a runtime package could not be had. The text of each is a clause for people, without a path of this machine."""

from __future__ import annotations


class NotHad(Exception):
    """The root of both kinds."""

    @property
    def reason(self) -> str:
        """As it stands in a manifest: a sentence of its own, the first letter aside."""
        return str(self)


class Absent(NotHad):
    """It is not there, or is not what it should be: asking again soon would end the same way."""


class Outage(NotHad):
    """Whoever has it did not answer: it may be there."""
