from __future__ import annotations

import os
from pathlib import Path

import pytest

from packhouse.worker.runtimes.cache import Cache
from packhouse.worker.runtimes.failures import Outage
from packhouse.worker.runtimes.fetched import Fetched


def beat(_: int) -> None:
    return None


def put(cache: Cache, name: str, data: bytes) -> Fetched:
    with cache.workspace() as folder:
        path = folder / name
        path.write_bytes(data)
        fetched = Fetched.of(path, name=name, version="1", requires=[])
        cache.keep(path, fetched)
    cache.remember(name, fetched)
    return fetched


def used_at(folder: Path, fetched: Fetched, seconds: int) -> None:
    os.utime(folder / "objects" / fetched.sha256[:2] / fetched.sha256, (seconds, seconds))


def test_what_was_kept_is_found_again_by_another_process(tmp_path: Path) -> None:
    fetched = put(Cache(tmp_path, 1000), "a", b"content")
    assert Cache(tmp_path, 1000).recall("a", beat) == fetched
    opened = Cache(tmp_path, 1000).open(fetched.sha256, fetched.size, beat)
    assert opened is not None
    with opened:
        buffer = bytearray(20)
        assert opened.readinto(memoryview(buffer), 3) == 4
        assert (bytes(buffer[:4]), opened.size, opened.changed()) == (b"tent", 7, None)
        assert opened.real == opened.mark == f"sha256:{fetched.sha256}"
        used_at(tmp_path, fetched, 5)
        assert opened.changed() is None


@pytest.mark.parametrize("damage", [b"", b"conten", b"Content", b"content and more"])
def test_a_damaged_file_is_dropped(tmp_path: Path, damage: bytes) -> None:
    cache = Cache(tmp_path, 1000)
    fetched = put(cache, "a", b"content")
    path = tmp_path / "objects" / fetched.sha256[:2] / fetched.sha256
    path.write_bytes(damage)
    assert cache.recall("a", beat) is None
    assert not path.exists()


def test_a_damaged_index_is_dropped(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1000)
    put(cache, "a", b"content")
    (index,) = (tmp_path / "index").iterdir()
    index.write_text('{"key": "a", "fetched": {"file": "../../x"}}')
    assert cache.recall("a", beat) is None
    assert not index.exists()


def test_what_was_not_used_for_longest_goes_first_and_what_is_in_use_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 25)
    kept = {name: put(cache, name, name.encode() * 10) for name in "abcd"}
    for seconds, name in enumerate("cabd"):
        used_at(tmp_path, kept[name], seconds)
    assert cache.trim({kept["c"].sha256}) == [kept["a"].sha256, kept["b"].sha256]
    assert [name for name in "abcd" if cache.recall(name, beat)] == ["c", "d"]


def test_reading_counts_as_use(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 15)
    kept = {name: put(cache, name, name.encode() * 10) for name in "ab"}
    used_at(tmp_path, kept["a"], 1)
    used_at(tmp_path, kept["b"], 2)
    assert cache.recall("a", beat)
    assert cache.trim(()) == [kept["b"].sha256]


def test_what_is_open_stays_readable_when_it_leaves_the_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 0)
    fetched = put(cache, "a", b"content")
    opened = cache.open(fetched.sha256, fetched.size, beat)
    assert opened is not None
    with opened:
        assert cache.trim(()) == [fetched.sha256]
        buffer = bytearray(7)
        assert opened.readinto(memoryview(buffer), 0) == 7
        assert bytes(buffer) == b"content"


def test_that_something_is_not_there_is_believed_for_a_while(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1000)
    cache.remember("a", None, "There is no such wheel.")
    assert cache.absent("a", 60) == "There is no such wheel."
    (index,) = (tmp_path / "index").iterdir()
    os.utime(index, (1, 1))
    assert cache.absent("a", 60) is None
    assert cache.recall("a", beat) is None


def test_a_lock_is_waited_for_with_signs_of_life_and_not_for_ever(tmp_path: Path) -> None:
    beats: list[int] = []
    with (
        Cache(tmp_path, 1).lock("a", beat, 1),
        Cache(tmp_path, 1).lock("b", beat, 1),
        pytest.raises(Outage, match="Another process"),
        Cache(tmp_path, 1).lock("a", beats.append, 0.3),
    ):
        pass
    assert beats
    with Cache(tmp_path, 1).lock("a", beat, 0):
        pass


def test_folders_of_the_living_stay_and_those_of_the_dead_go(tmp_path: Path) -> None:
    (tmp_path / "work" / "dead").mkdir(parents=True)
    (tmp_path / "work" / "dead" / "x.whl").write_bytes(b"half")
    (tmp_path / "work" / "dead.lock").touch()
    with Cache(tmp_path, 1).workspace() as first, Cache(tmp_path, 1).workspace() as second:
        assert first.is_dir()
        assert second.is_dir()
        assert len(list((tmp_path / "work").iterdir())) == 4
    assert list((tmp_path / "work").iterdir()) == []
