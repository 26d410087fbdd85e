"""The ledger: the one truth about runs and packages, kept in Redis and changed only by its scripts."""

from packhouse.worker.ledger.ledger import Ledger
from packhouse.worker.ledger.records import Frozen, Lease, LeaseLost, Opened, Wake

__all__ = ["Frozen", "Lease", "LeaseLost", "Ledger", "Opened", "Wake"]
