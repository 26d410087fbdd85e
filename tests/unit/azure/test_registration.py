from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError
from packhouse.worker.azure.assets import AssetKind, Conflict, NewAsset, Registered
from packhouse.worker.azure.registration import Registrar, next_free
from packhouse.worker.azure.tags import properties_of

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
REFUSAL = PermanentError(ErrorCode.AZURE_REFUSED, "Azure refused it.", fix="See.")


def asset(version: str = "1", digest: str = DIGEST, plan: str = "p1", kind: AssetKind = AssetKind.MODEL) -> NewAsset:
    properties = properties_of(digest, plan, "0")
    return NewAsset(kind, "bert_cpu-cpu_1", version, f"azureml://datastores/d/paths/{digest}", properties=properties)


@dataclass
class Store:
    """A workspace in memory, of which others can make use at any moment."""

    there: dict[tuple[str, str, str], Registered] = field(default_factory=dict)
    meanwhile: Callable[[Store, NewAsset], None] | None = None
    """What happens between being asked for an asset and taking it."""
    asked: list[str] = field(default_factory=list)

    def get(self, kind: AssetKind, name: str, version: str) -> Registered | None:
        return self.there.get((kind, name, version))

    def register(self, asset: NewAsset) -> None:
        self.asked.append(asset.version)
        if self.meanwhile is not None:
            self.meanwhile(self, asset)
        there = self.get(asset.kind, asset.name, asset.version)
        if there is not None and there.path != asset.path:
            raise Conflict(REFUSAL)
        self.put(asset)

    def put(self, asset: NewAsset) -> None:
        key = (asset.kind, asset.name, asset.version)
        self.there[key] = Registered(asset.name, asset.version, "/id", asset.path, asset.tags, asset.properties)

    def versions(self, kind: AssetKind, name: str) -> list[str]:
        return [version for each, other, version in self.there if (each, other) == (kind, name)]


@dataclass
class Book:
    notes: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, value: str, *, instead_of: str = "") -> str:
        if self.notes.get(name, instead_of) == instead_of:
            self.notes[name] = value
        return self.notes[name]


def registrar(store: Store, book: Book | None = None) -> Registrar:
    return Registrar(store, (book or Book()).note, lambda: None)


def test_an_asset_is_registered_once_and_found_there_the_second_time() -> None:
    store = Store()
    there, before = registrar(store).register(asset(), DIGEST)
    assert (there.version, before) == ("1", False)
    assert registrar(store).register(asset(plan="p2"), DIGEST) == (there, True)
    assert store.asked == ["1"]


def test_the_same_package_asking_again_is_told_that_it_was_the_first() -> None:
    store = Store()
    assert registrar(store).register(asset(), DIGEST)[1] is False
    assert registrar(store).register(asset(), DIGEST)[1] is False


def test_a_version_with_other_content_is_never_overwritten_and_auto_is_offered() -> None:
    store = Store()
    store.put(asset(digest=OTHER))
    with pytest.raises(PermanentError) as caught:
        registrar(store).register(asset(), DIGEST)
    assert caught.value.code == "asset_version_taken"
    assert OTHER in caught.value.message
    assert '"version": "auto"' in caught.value.fix
    assert store.asked == []


def test_a_version_that_another_takes_at_the_same_moment_is_judged_by_its_content() -> None:
    same = Store(
        meanwhile=lambda store, wanted: store.put(replace(wanted, properties=properties_of(DIGEST, "p2", "0")))
    )
    assert registrar(same).register(asset(), DIGEST)[0].digest == DIGEST
    other = Store(meanwhile=lambda store, wanted: store.put(replace(asset(digest=OTHER), version=wanted.version)))
    with pytest.raises(PermanentError) as caught:
        registrar(other).register(asset(), DIGEST)
    assert caught.value.code == "asset_version_taken"


def test_a_version_that_packhouse_did_not_register_is_taken() -> None:
    store = Store()
    store.put(replace(asset(), properties={}))
    with pytest.raises(PermanentError, match="was not registered by Packhouse"):
        registrar(store).register(asset(), DIGEST)


def test_auto_takes_the_next_free_number_and_notes_it_first() -> None:
    store, book = Store(), Book()
    store.put(asset("7", OTHER))
    noted: list[dict[str, str]] = []
    store.meanwhile = lambda _store, _asset: noted.append(dict(book.notes))
    assert registrar(store, book).register(asset("auto"), DIGEST)[0].version == "8"
    assert noted == [{"version/models/bert_cpu-cpu_1": "8"}]


def test_auto_after_a_crash_finds_what_it_registered_and_registers_nothing_more() -> None:
    store, book = Store(), Book()
    registrar(store, book).register(asset("auto"), DIGEST)
    assert registrar(store, book).register(asset("auto"), DIGEST) == (
        store.get(AssetKind.MODEL, asset().name, "1"),
        False,
    )
    assert store.asked == ["1"]


def test_auto_moves_on_where_others_take_the_numbers_first() -> None:
    taken = 3

    def meanwhile(store: Store, wanted: NewAsset) -> None:
        if int(wanted.version) <= taken:
            store.put(asset(wanted.version, OTHER))

    store, book = Store(meanwhile=meanwhile), Book()
    assert registrar(store, book).register(asset("auto"), DIGEST)[0].version == "4"
    assert book.notes == {"version/models/bert_cpu-cpu_1": "4"}


def test_auto_gives_up_for_now_where_others_are_always_first() -> None:
    store = Store(meanwhile=lambda store, wanted: store.put(asset(wanted.version, OTHER)))
    with pytest.raises(TransientError):
        registrar(store).register(asset("auto"), DIGEST)


@pytest.mark.parametrize(("version", "kind", "hinted"), [
    ("2024.06", AssetKind.MODEL, True), ("0", AssetKind.MODEL, True), ("2", AssetKind.MODEL, False),
    ("2024.06", AssetKind.DATA, False),
])  # fmt: skip
def test_a_refusal_that_is_no_conflict_is_told_and_explained(version: str, kind: AssetKind, hinted: bool) -> None:
    def refuse(store: Store, wanted: NewAsset) -> None:
        raise Conflict(REFUSAL)

    with pytest.raises(PermanentError) as caught:
        registrar(Store(meanwhile=refuse)).register(asset(version, kind=kind), DIGEST)
    assert caught.value.message == REFUSAL.message
    assert ("whole numbers" in caught.value.fix) is hinted


def test_a_lost_lease_asks_for_nothing() -> None:
    def confirm() -> None:
        raise InterruptedError

    store = Store()
    with pytest.raises(InterruptedError):
        Registrar(store, Book().note, confirm).register(asset(), DIGEST)
    assert store.asked == []


@given(st.lists(st.text(max_size=4) | st.integers(0, 10**6).map(str)))
def test_the_next_free_version_is_a_number_that_is_not_taken(versions: list[str]) -> None:
    free = next_free(versions)
    assert free not in versions
    assert int(free) >= 1
