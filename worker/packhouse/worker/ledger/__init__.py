"""The ledger: the one truth about runs and packages, kept in Redis and changed only by its scripts."""

from packhouse.worker.ledger.ledger import READERS, Ledger, Opening, PlannedJob, connect
from packhouse.worker.ledger.notebook import Collector, Notebook
from packhouse.worker.ledger.records import (
    RANK_JOB,
    Answer,
    Arrival,
    Cancelled,
    DeadLetter,
    Frozen,
    Held,
    Lease,
    LeaseLost,
    Motion,
    Opened,
    Reopened,
    Round,
    Swept,
    Wake,
)
from packhouse.worker.ledger.version import LedgerVersionError

__all__ = [
    "RANK_JOB",
    "READERS",
    "Answer",
    "Arrival",
    "Cancelled",
    "Collector",
    "DeadLetter",
    "Frozen",
    "Held",
    "Lease",
    "LeaseLost",
    "Ledger",
    "LedgerVersionError",
    "Motion",
    "Notebook",
    "Opened",
    "Opening",
    "PlannedJob",
    "Reopened",
    "Round",
    "Swept",
    "Wake",
    "connect",
]
