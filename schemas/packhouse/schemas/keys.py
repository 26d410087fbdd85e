"""Names of the Redis keys at the border. All share one hash tag, so that they lie on one node of a cluster."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from packhouse.schemas.cloudevent import RunRef

FIELD: Final = "event"
"""The one field of every stream entry: the CloudEvent as JSON."""

DEFAULT_NAMESPACE: Final = "packhouse"


def run_key(run: RunRef) -> str:
    """A short name for a run, safe in keys, paths and task names: 32 hexadecimal digits of a SHA-256."""
    return hashlib.sha256(f"{run.source}\0{run.id}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Keys:
    """The keys that an engine may touch; a Redis ACL can hold it to these."""

    namespace: str = DEFAULT_NAMESPACE

    @property
    def prefix(self) -> str:
        """``{namespace}:`` before every key."""
        return f"{{{self.namespace}}}:"

    @property
    def run_queue(self) -> str:
        """Stream of ``RunFinished`` events."""
        return f"{self.prefix}runs"

    @property
    def status(self) -> str:
        """Stream of status events."""
        return f"{self.prefix}status"

    @property
    def progress(self) -> str:
        """Stream of progress events."""
        return f"{self.prefix}progress"

    @property
    def dead_letters(self) -> str:
        """Stream of what could not be understood."""
        return f"{self.prefix}dead-letters"

    def final(self, run: RunRef) -> str:
        """The final event of a run, kept as long as its record."""
        return f"{self.prefix}final:{run_key(run)}"
