"""The ledger: the one truth about runs and packages, kept in Redis and changed only by its scripts."""

from packhouse.worker.ledger.ledger import Ledger, PlannedJob, connect
from packhouse.worker.ledger.notebook import Collector, Notebook
from packhouse.worker.ledger.records import (
    RANK_JOB,
    Answer,
    Arrival,
    DeadLetter,
    Frozen,
    Held,
    Lease,
    LeaseLost,
    Opened,
    Round,
    Swept,
    Wake,
)
from packhouse.worker.ledger.version import LedgerVersionError

__all__ = [
    "RANK_JOB",
    "Answer",
    "Arrival",
    "Collector",
    "DeadLetter",
    "Frozen",
    "Held",
    "Lease",
    "LeaseLost",
    "Ledger",
    "LedgerVersionError",
    "Notebook",
    "Opened",
    "PlannedJob",
    "Round",
    "Swept",
    "Wake",
    "connect",
]
