"""What a process of a worker works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from packhouse.worker.azure.access import Azure
from packhouse.worker.identity import Identity
from packhouse.worker.ledger import Ledger, Wake
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import Settings
from packhouse.worker.storage.known import KnownDigests
from packhouse.worker.storage.storage import Storage


@dataclass(frozen=True)
class Context:
    """Settings and connections of one process, made once."""

    settings: Settings
    ledger: Ledger
    storage: Storage
    azure: Azure
    identity: Identity
    runtimes: RuntimeStore
    wake: Callable[[Sequence[Wake]], None]
    """Send wake-up calls. Losing one does no harm: recovery sends it again."""
    digests: KnownDigests = field(default_factory=KnownDigests)
    """What this machine knows of files; nothing where none is given."""
