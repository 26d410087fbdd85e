"""What packaging writes down beside its plan: decisions, and work that others need not do again."""

from __future__ import annotations

import hashlib
from typing import Final, cast

from packhouse.worker.ledger.ledger import Ledger
from packhouse.worker.ledger.records import Lease, LeaseLost
from packhouse.worker.settings import Settings

MOST_WEIGHTS: Final = 100_000
"""Files of a storage account whose places are known, some 300 bytes each; what is forgotten is put there once more."""


class Notebook:
    """The notes of one job, the digests and trials of its run, and what is known of storage accounts."""

    def __init__(self, ledger: Ledger, settings: Settings, lease: Lease) -> None:
        self._ledger = ledger
        self._lease = lease
        self._claim_ms = int(settings.lease_seconds * 1000)
        self._keep = max(1, int(settings.retention_days * 86400))
        # Every attempt at a job is the same holder: what a killed one left claimed is its successor's at once.
        self._holder = f"{lease.run}:{lease.job}"

    @property
    def run(self) -> str:
        """Key of the run."""
        return self._lease.run

    def note(self, name: str, value: str, *, instead_of: str = "") -> str:
        """Write down a decision before it is acted on, unless an earlier attempt did: the one that holds is returned.

        ``instead_of`` is the note that turned out to be no good. Raises ``LeaseLost``.
        """
        lease = self._lease
        held = self._ledger.call("note", lease.run, lease.job, lease.token, name, value, instead_of)
        if held is None:
            raise LeaseLost
        return cast("str", held)

    def claim(self, name: str) -> bool:
        """Take or keep the right to do something that others would only do again; False where another has it.

        It lapses after the time of a lease, so it is to be taken again while the work lasts.
        """
        return bool(self._ledger.call("claim", _short(name), self._holder, self._claim_ms))

    def unclaim(self, name: str) -> None:
        """Let others."""
        self._ledger.call("unclaim", _short(name), self._holder)

    def digest(self, file: str) -> str | None:
        """The digests of a model file that a package of this run has computed; ``file`` names its very bytes."""
        return cast("str | None", self._ledger.redis.hget(self._digests, _short(file)))

    def keep_digest(self, file: str, digests: str) -> None:
        """Let the run's other packages know a file's digests."""
        self._ledger.redis.hset(self._digests, _short(file), digests)
        self._ledger.redis.expire(self._digests, self._keep)

    def check(self, name: str) -> str | None:
        """What came of a trial of a model in this run, as JSON; ``name`` is equal for trials that end alike."""
        return cast("str | None", self._ledger.redis.hget(self._checks, name))

    def keep_check(self, name: str, outcome: str) -> None:
        """Let the run's other packages know what came of a trial."""
        self._ledger.redis.hset(self._checks, name, outcome)
        self._ledger.redis.expire(self._checks, self._keep)

    def weight(self, account: str, sha256: str) -> str | None:
        """Where in a storage account a file of that SHA-256 was put, as container and path. It may be gone since."""
        return cast("str | None", self._ledger.redis.hget(self._weights(account), sha256))

    def keep_weight(self, account: str, sha256: str, place: str) -> None:
        """Let later packages know where a file lies."""
        self._ledger.call("weigh", account, sha256, place, MOST_WEIGHTS)

    def touch(self, folder: str) -> bool:
        """Keep a folder from being collected while this job is open; False where it is being removed at this moment."""
        return bool(self._ledger.call("touch", _short(folder), self._lease.run, self._lease.job))

    @property
    def _digests(self) -> str:
        return f"{self._ledger.keys.prefix}digests:{self._lease.run}"

    @property
    def _checks(self) -> str:
        return f"{self._ledger.keys.prefix}checks:{self._lease.run}"

    def _weights(self, account: str) -> str:
        return f"{self._ledger.keys.prefix}weights:{account}"


class Collector:
    """The ledger as one sees it who removes what nothing refers to."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def take(self, folder: str, *, unused: float, seconds: float) -> bool:
        """Keep everybody from a folder for so long; False where an open job uses it, or one began to just now."""
        return bool(self._ledger.call("collect", _short(folder), int(unused * 1000), int(seconds * 1000)))

    def give_back(self, folder: str) -> None:
        """The folder may be used again."""
        self._ledger.redis.delete(f"{self._ledger.keys.prefix}collecting:{_short(folder)}")

    def forget_weight(self, account: str, sha256: str, place: str) -> None:
        """A file is no longer there."""
        key = f"{self._ledger.keys.prefix}weights:{account}"
        if self._ledger.redis.hget(key, sha256) == place:
            self._ledger.redis.hdel(key, sha256)
            self._ledger.redis.zrem(f"{self._ledger.keys.prefix}weights-at:{account}", sha256)


def _short(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
