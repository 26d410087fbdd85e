"""Registering an asset so that it happens once, whatever dies and whoever else registers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, Protocol

from packhouse.schemas.base import Digest
from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError
from packhouse.worker.azure.assets import AssetKind, Conflict, NewAsset, Registered
from packhouse.worker.azure.tags import PLAN
from packhouse.worker.faultpoints import reach

AUTO: Final = "auto"
_ROUNDS: Final = 20
"""How often another may take the next free version before this one begins anew, later."""


class AssetStore(Protocol):
    """What of ``assets.Assets`` is needed here."""

    def get(self, kind: AssetKind, name: str, version: str) -> Registered | None: ...  # noqa: D102 (as there)

    def register(self, asset: NewAsset) -> None: ...  # noqa: D102 (as there)

    def versions(self, kind: AssetKind, name: str) -> list[str]: ...  # noqa: D102 (as there)


class Note(Protocol):
    """Writes a decision into the ledger and returns the one that holds; see ``ledger.Notebook``."""

    def __call__(self, name: str, value: str, *, instead_of: str = "") -> str: ...  # noqa: D102 (as there)


class Registrar:
    """Registers the assets of one package."""

    def __init__(self, store: AssetStore, note: Note, confirm: Callable[[], None]) -> None:
        self._store = store
        self._note = note
        self._confirm = confirm

    def must_not_be_taken(self, asset: NewAsset, digest: Digest) -> None:
        """Raises ``asset_version_taken`` where that is so already: to be known before anything is uploaded."""
        if asset.version != AUTO:
            there = self._store.get(asset.kind, asset.name, asset.version)
            if there is not None and there.digest != digest:
                raise taken(asset, there, digest)

    def register(self, asset: NewAsset, digest: Digest) -> tuple[Registered, bool]:
        """The asset as the service has it then, and whether it was there before this package.

        The version ``auto`` is the next free number. An asset of the same name, version and content is taken as it is;
        nothing is ever overwritten. Raises ``PermanentError`` (``asset_version_taken`` and what Azure refuses) and
        ``TransientError``.
        """
        there = self._automatic(asset, digest) if asset.version == AUTO else self._fixed(asset, digest)
        return there, there.properties.get(PLAN) != asset.properties.get(PLAN)

    def _fixed(self, asset: NewAsset, digest: Digest) -> Registered:
        there = self._offer(asset)
        if there.digest == digest:
            return there
        raise taken(asset, there, digest)

    def _automatic(self, asset: NewAsset, digest: Digest) -> Registered:
        name = f"version/{asset.kind}/{asset.name}"
        before = ""
        for _ in range(_ROUNDS):
            # Written down before it is asked for: whoever takes up this job after a crash asks for the same one.
            version = self._note(name, next_free(self._store.versions(asset.kind, asset.name)), instead_of=before)
            reach("azure.version_noted")
            there = self._offer(replace(asset, version=version))
            if there.digest == digest:
                return there
            before = version
        raise TransientError(
            ErrorCode.AZURE_UNAVAILABLE,
            f"Others took {_ROUNDS} versions of {asset.name} while this one asked for the next free one.",
            fix="It is tried again by itself.",
        )

    def _offer(self, asset: NewAsset) -> Registered:
        """What is registered under the name and version, and if nothing is, this asset."""
        there = self._store.get(asset.kind, asset.name, asset.version)
        if there is not None:
            return there
        self._confirm()
        refusal: PackhouseError | None = None
        try:
            self._store.register(asset)
        except Conflict as conflict:
            refusal = conflict.refusal
        reach("azure.registered")
        there = self._store.get(asset.kind, asset.name, asset.version)
        if there is not None:
            return there
        raise refused(asset, refusal)


def next_free(versions: Iterable[str]) -> str:
    """The number after the highest; versions that are no numbers do not count."""
    numbers = [int(version) for version in versions if version.isascii() and version.isdigit()]
    return str(max(numbers, default=0) + 1)


def taken(asset: NewAsset, there: Registered, digest: Digest) -> PermanentError:
    """The error for a version that other content has."""
    content = f"has the content {there.digest}" if there.digest else "was not registered by Packhouse"
    return PermanentError(
        ErrorCode.ASSET_VERSION_TAKEN,
        f"Version {asset.version} of {asset.kind} {asset.name} is taken: what is there {content}, this is {digest}.",
        fix='Give another version in the packaging config, or "version": "auto" for the next free one.',
        field="packaging_config.config.version",
    )


def refused(asset: NewAsset, refusal: PackhouseError | None) -> PackhouseError:
    """The error for an asset that was asked for and is not there."""
    if refusal is None:
        return TransientError(
            ErrorCode.AZURE_UNAVAILABLE,
            f"Azure took {asset.kind} {asset.name}:{asset.version} and does not show it yet.",
            fix="It is looked for again by itself.",
        )
    number = asset.version.isascii() and asset.version.isdigit() and int(asset.version) > 0
    if asset.kind is AssetKind.MODEL and not number:
        return PermanentError(
            refusal.code,
            refusal.message,
            fix=f"The version {asset.version!r} may be the reason: Azure may take only whole numbers from 1 on as "
            'versions of models. Give such a number in the packaging config, or "version": "auto".',
            field="packaging_config.config.version",
        )
    return refusal
