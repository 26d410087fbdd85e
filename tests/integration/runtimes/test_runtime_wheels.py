from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.nuget import NugetFeed
from support.runtimes import Told, a_run, content, gathered, install, unpacked
from support.wheel_index import WheelIndex, wheel

from packhouse.schemas import PermanentError
from packhouse.schemas.errors import ErrorCode, TransientError
from packhouse.schemas.files import RuntimeLock
from packhouse.worker.package.tree import CachedFile, Made
from packhouse.worker.runtimes import cache
from packhouse.worker.runtimes.gather import Gathered, gather
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import Settings

SettingsOf = Callable[..., Settings]
BOTH = {"runtime_platforms": ("linux_x86_64", "win_amd64"), "runtime_pythons": ("3.11", "3.12")}
LINUX = "manylinux_2_27_x86_64.manylinux_2_28_x86_64"
TAGS = [f"cp{minor}-cp{minor}-{tag}" for minor in (311, 312) for tag in (LINUX, "win_amd64")]


def names(result: Gathered, folder: str = "python") -> list[str]:
    prefix = f"ONNXRuntimePackages/{folder}/"
    return sorted(path.removeprefix(prefix) for path in result.entries if path.startswith(prefix))


def wheels(result: Gathered) -> list[str]:
    return [name for name in names(result) if name.endswith(".whl")]


def lock_of(result: Gathered) -> RuntimeLock:
    made = result.entries["ONNXRuntimePackages/packages.lock.json"]
    assert isinstance(made, Made)
    return RuntimeLock.model_validate_json(made.data)


def missing(result: Gathered) -> dict[str, str]:
    return {entry.what: entry.reason for entry in result.unavailable if "NuGet" not in entry.what}


def test_wheels_for_two_platforms_and_two_pythons_lie_beside_requirements_with_their_hashes(
    index: WheelIndex, settings_of: SettingsOf
) -> None:
    made = {tag: wheel("onnxruntime", "1.20.1", [f"x-{tag[:5]}"]) for tag in TAGS}
    for tag, data in made.items():
        index.add("onnxruntime", "1.20.1", tag=tag, content=data)
    index.add("onnxruntime", "1.21.0", tag=TAGS[0])
    settings = settings_of(**BOTH)
    told = Told()
    result = gathered(settings, "onnxruntime==1.20.1", progress=told)
    assert missing(result) == {}
    assert wheels(result) == sorted(f"onnxruntime-1.20.1-{tag}.whl" for tag in TAGS)
    store = RuntimeStore(settings)
    for tag, data in made.items():
        entry = result.entries[f"ONNXRuntimePackages/python/onnxruntime-1.20.1-{tag}.whl"]
        assert isinstance(entry, CachedFile)
        assert (entry.sha256, entry.size) == (hashlib.sha256(data).hexdigest(), len(data))
        assert content(entry, store) == data
    text = result.entries["ONNXRuntimePackages/python/requirements-onnxruntime-win_amd64-py3.12.txt"]
    assert isinstance(text, Made)
    assert text.data.decode() == (
        f"onnxruntime==1.20.1 \\\n    --hash=sha256:{hashlib.sha256(made['cp312-cp312-win_amd64']).hexdigest()}\n"
    )
    locked = lock_of(result).files
    assert [(file.name, file.version, file.dependency) for file in locked] == [("onnxruntime", "1.20.1", False)] * 4
    assert [[str(target.python) + target.platform for target in file.targets] for file in locked] == [
        ["3.11linux_x86_64"], ["3.11win_amd64"], ["3.12linux_x86_64"], ["3.12win_amd64"],
    ]  # fmt: skip
    assert told.stages == ["runtime packages"]
    assert told.beats > 0


def test_the_same_run_gives_the_same_folder_and_asks_nobody_again(index: WheelIndex, settings_of: SettingsOf) -> None:
    index.add("onnxruntime", "1.20.1")
    first = gathered(settings_of(), "onnxruntime==1.20.1")
    asked = list(index.requests)
    assert gathered(settings_of(), "onnxruntime==1.20.1") == first
    assert index.requests == asked


def test_a_version_that_does_not_exist_is_told_and_believed_for_a_while(
    index: WheelIndex, settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("onnxruntime", "1.20.0")
    result = gathered(settings_of(), "onnxruntime==1.20.1")
    assert missing(result) == {"onnxruntime 1.20.1 for Python 3.11 on linux_x86_64": "There is no such wheel."}
    assert "onnxruntime 1.20.1 for Python 3.11 on linux_x86_64: There is no such wheel." in result.warnings
    readme = result.entries["ONNXRuntimePackages/README.md"]
    assert isinstance(readme, Made)
    assert b"## What is missing" in readme.data
    assert [entry.what for entry in lock_of(result).unavailable] == [entry.what for entry in result.unavailable]
    index.add("onnxruntime", "1.20.1")
    assert missing(gathered(settings_of(), "onnxruntime==1.20.1"))
    monkeypatch.setattr("packhouse.worker.runtimes.store.ABSENT_SECONDS", 0)
    assert missing(gathered(settings_of(), "onnxruntime==1.20.1")) == {}


@pytest.mark.full
def test_a_wheel_for_some_targets_only_is_packed_for_those(index: WheelIndex, settings_of: SettingsOf) -> None:
    index.add("onnxruntime", "1.20.1", tag=TAGS[0])
    index.add("onnxruntime", "1.20.1", tag=TAGS[3])
    result = gathered(settings_of(**BOTH), "onnxruntime==1.20.1")
    assert len(wheels(result)) == 2
    assert [what.rpartition(" for ")[2] for what in missing(result)] == [
        "Python 3.11 on win_amd64",
        "Python 3.12 on linux_x86_64",
    ]


@pytest.mark.parametrize(
    ("fault", "ending", "said"),
    [
        ("outage", "/", "did not answer"),
        pytest.param("outage", ".whl", "did not answer", marks=pytest.mark.full),
        pytest.param("truncated", ".whl", "did not answer", marks=pytest.mark.full),
        pytest.param("corrupt", ".whl", "does not have the digest", marks=pytest.mark.full),
    ],
)
def test_a_fault_of_the_index_is_a_warning_and_passes(
    index: WheelIndex, settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch, fault: str, ending: str, said: str
) -> None:
    index.add("onnxruntime", "1.20.1")
    index.faults[ending] = fault  # pyright: ignore[reportArgumentType]
    assert said in "".join(missing(gathered(settings_of(), "onnxruntime==1.20.1")).values())
    index.faults.clear()
    monkeypatch.setattr("packhouse.worker.runtimes.store.ABSENT_SECONDS", 0)
    monkeypatch.setattr("packhouse.worker.runtimes.store.OUTAGE_SECONDS", 0)
    assert missing(gathered(settings_of(), "onnxruntime==1.20.1")) == {}


@pytest.mark.full
def test_an_index_that_is_not_there_is_told_from_a_version_that_is_not(
    index: WheelIndex, settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    settings = settings_of(runtime_missing="fail")
    with pytest.raises(TransientError, match="did not answer") as caught:
        gathered(settings, "onnxruntime==1.20.1")
    assert caught.value.code is ErrorCode.RUNTIME_UNAVAILABLE
    index.configure(monkeypatch)
    monkeypatch.setattr("packhouse.worker.runtimes.store.OUTAGE_SECONDS", 0)
    with pytest.raises(PermanentError, match=r"onnxruntime 1\.20\.1 for Python 3\.11.*no such wheel") as refused:
        gathered(settings, "onnxruntime==1.20.1")
    assert refused.value.code is ErrorCode.RUNTIME_UNAVAILABLE


def test_a_source_that_is_down_is_not_asked_for_every_package(index: WheelIndex, settings_of: SettingsOf) -> None:
    index.faults[""] = "outage"
    settings = settings_of(**BOTH)
    result = gathered(settings, "onnxruntime==1.20.1", "onnxruntime-extensions==0.12.0", extensions=True)
    assert len(missing(result)) == 8
    assert index.asked("/simple/onnxruntime/") == 1
    assert index.asked("/simple/onnxruntime-extensions/") == 0


@pytest.mark.full
def test_a_download_that_hangs_is_given_up_and_shows_signs_of_life(index: WheelIndex, settings_of: SettingsOf) -> None:
    index.add("onnxruntime", "1.20.1")
    index.faults[".whl"] = "hang"
    told = Told()
    result = gathered(settings_of(runtime_seconds=2), "onnxruntime==1.20.1", progress=told)
    assert missing(result) == {
        "onnxruntime 1.20.1 for Python 3.11 on linux_x86_64": "Fetching it took longer than 2 s."
    }
    assert told.beats > 3


@pytest.mark.full
def test_a_wheel_larger_than_the_setting_is_not_fetched(index: WheelIndex, settings_of: SettingsOf) -> None:
    index.add("onnxruntime", "1.20.1", content=wheel("onnxruntime", "1.20.1", [f"a{n}" for n in range(9000)]))
    result = gathered(settings_of(runtime_file_bytes=100_000), "onnxruntime==1.20.1")
    assert "larger than PACKHOUSE_RUNTIME_FILE_BYTES" in "".join(missing(result).values())


def test_a_wheel_that_is_another_inside_is_refused(index: WheelIndex, settings_of: SettingsOf) -> None:
    index.add("onnxruntime", "1.20.1", content=wheel("onnxruntime", "1.20.1", says="evil"))
    assert "says inside that it is something else" in "".join(
        missing(gathered(settings_of(), "onnxruntime==1.20.1")).values()
    )


def test_source_distributions_are_never_taken(index: WheelIndex, settings_of: SettingsOf, tmp_path: Path) -> None:
    page = b'<a href="/files/onnxruntime-1.20.1.tar.gz">onnxruntime-1.20.1.tar.gz</a>'
    index.files |= {"/simple/onnxruntime/": page, "/files/onnxruntime-1.20.1.tar.gz": b"x"}
    assert missing(gathered(settings_of(), "onnxruntime==1.20.1"))
    assert index.asked(".tar.gz") == 0


def test_pip_sees_how_it_is_configured_and_none_of_the_workers_secrets(
    index: WheelIndex, settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from packhouse.worker.runtimes.pip import Pip

    monkeypatch.setenv("AZURE_CLIENT_SECRET", "secret")
    monkeypatch.setenv("PACKHOUSE_REDIS_URL", "redis://:secret@x")
    seen = Pip(1, 1)._environment(Path("/x"))
    assert "secret" not in json.dumps(seen)
    assert seen["PIP_INDEX_URL"] == os.environ["PIP_INDEX_URL"]
    assert "PIP_INDEX_URL" not in Pip(1, 1, "/folder")._environment(Path("/x"))


def test_fetching_may_see_another_network_than_the_worker(
    index: WheelIndex, feed: NugetFeed, settings_of: SettingsOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index.add("onnxruntime", "1.20.1", tag=TAGS[0])
    feed.add("Microsoft.ML.OnnxRuntime", "1.20.1")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        lost = gathered(settings_of(cache_dir=str(tmp_path / "other")), "onnxruntime==1.20.1")
        had = gathered(settings_of(fetch_environment="HTTP_PROXY=;http_proxy="), "onnxruntime==1.20.1")
    assert (wheels(lost), names(lost, "nuget")) == ([], [])
    assert len(wheels(had)) == 1
    assert len(names(had, "nuget")) == 1


def test_nothing_is_gathered_where_it_is_switched_off(index: WheelIndex, settings_of: SettingsOf) -> None:
    assert gathered(settings_of(runtime_source="off"), "onnxruntime==1.20.1") == Gathered()
    assert index.requests == []


def test_an_engine_that_reported_nothing_leaves_a_folder_that_says_so(
    index: WheelIndex, settings_of: SettingsOf
) -> None:
    result = gathered(settings_of())
    assert sorted(result.entries) == ["ONNXRuntimePackages/README.md", "ONNXRuntimePackages/packages.lock.json"]
    assert missing(result) == {
        "onnxruntime": "The engine reported no version of it; --runtime or --detect-runtimes does."
    }
    assert index.requests == []


class TestDependencies:
    @pytest.mark.full
    def test_what_the_wheels_need_is_packed_for_each_platform_as_it_is_there(
        self, index: WheelIndex, settings_of: SettingsOf
    ) -> None:
        needed = ["coloredlogs", "numpy>=1.21,<2", 'pyreadline3; sys_platform == "win32"', 'gone; extra == "x"']
        for tag in TAGS[2:]:
            index.add("onnxruntime", "1.20.1", tag=tag, content=wheel("onnxruntime", "1.20.1", needed))
        index.add("coloredlogs", "15.0", ["humanfriendly[fast]>=9"])
        index.add("humanfriendly", "10.0", ['speedup; extra == "fast"'])
        for version in ("1.20.0", "1.26.4", "2.1.0"):
            index.add("numpy", version)
        index.add("pyreadline3", "3.5")
        index.add("speedup", "1.0")
        result = gathered(
            settings_of(**BOTH | {"runtime_pythons": ("3.12",)}, runtime_dependencies=True), "onnxruntime==1.20.1"
        )
        assert missing(result) == {}
        found = {(file.name, file.version): file for file in lock_of(result).files if file.dependency}
        assert sorted(found) == [
            ("coloredlogs", "15.0"), ("humanfriendly", "10.0"), ("numpy", "1.26.4"), ("pyreadline3", "3.5"),
            ("speedup", "1.0"),
        ]  # fmt: skip
        assert {target.platform for target in found["pyreadline3", "3.5"].targets} == {"win_amd64"}
        assert {target.platform for target in found["numpy", "1.26.4"].targets} == {"linux_x86_64", "win_amd64"}

    @pytest.mark.full
    def test_a_late_demand_replaces_what_does_not_meet_it(self, index: WheelIndex, settings_of: SettingsOf) -> None:
        index.add("onnxruntime", "1.20.1", ["a", "z"])
        for version in ("1.0", "2.0"):
            index.add("a", version, ["only-of-two"] if version == "2.0" else [])
        index.add("only-of-two", "1.0")
        index.add("z", "1.0", ["a<2"])
        result = gathered(settings_of(runtime_dependencies=True), "onnxruntime==1.20.1")
        assert [name.partition("-py3")[0] for name in wheels(result)] == ["a-1.0", "onnxruntime-1.20.1", "z-1.0"]

    @pytest.mark.full
    def test_an_old_runtime_gets_the_numpy_that_it_was_built_for(
        self, index: WheelIndex, settings_of: SettingsOf
    ) -> None:
        index.add("onnxruntime", "1.16.3", ["numpy>=1.24"])
        index.add("numpy", "1.26.4")
        index.add("numpy", "2.1.0")
        result = gathered(settings_of(runtime_dependencies=True), "onnxruntime==1.16.3")
        assert wheels(result) == ["numpy-1.26.4-py3-none-any.whl", "onnxruntime-1.16.3-py3-none-any.whl"]

    @pytest.mark.full
    @pytest.mark.parametrize(
        ("needs", "said"),
        [(["gone>=3"], "They need gone>=3. There is no such wheel."), (["a"], "one needs onnxruntime<1")],
    )
    def test_what_cannot_be_satisfied_is_told_and_the_wheel_itself_stays(
        self, index: WheelIndex, settings_of: SettingsOf, needs: list[str], said: str
    ) -> None:
        index.add("onnxruntime", "1.20.1", needs)
        index.add("a", "1.0", ["onnxruntime<1"])
        result = gathered(settings_of(runtime_dependencies=True), "onnxruntime==1.20.1")
        assert said in missing(result)["what onnxruntime needs, for Python 3.11 on linux_x86_64"]
        assert wheels(result) == ["onnxruntime-1.20.1-py3-none-any.whl"]

    def test_a_packed_runtime_is_installed_offline_by_its_hashes(
        self, index: WheelIndex, settings_of: SettingsOf, tmp_path: Path
    ) -> None:
        index.add("onnxruntime", "1.20.1", ["numpy>=1"])
        index.add("numpy", "1.26.4")
        settings = settings_of(runtime_dependencies=True)
        package = unpacked(gathered(settings, "onnxruntime==1.20.1"), settings, tmp_path / "package")
        python = install(package, tmp_path / "venv")
        assert sorted(path.name for path in python.parent.parent.rglob("*.dist-info")) == [
            "numpy-1.26.4.dist-info", "onnxruntime-1.20.1.dist-info",
        ]  # fmt: skip


class TestAfterThePlan:
    """A file of a plan is poured as it was planned, whatever has become of the cache."""

    @pytest.fixture
    def planned(self, index: WheelIndex, settings_of: SettingsOf) -> CachedFile:
        index.add("onnxruntime", "1.20.1")
        result = gathered(settings_of(), "onnxruntime==1.20.1")
        entry = result.entries["ONNXRuntimePackages/python/onnxruntime-1.20.1-py3-none-any.whl"]
        assert isinstance(entry, CachedFile)
        return entry

    @pytest.mark.parametrize("damage", [None, pytest.param(b"", marks=pytest.mark.full), b"other bytes"])
    def test_a_file_that_left_the_cache_or_was_damaged_is_fetched_again(
        self, index: WheelIndex, settings_of: SettingsOf, tmp_path: Path, planned: CachedFile, damage: bytes | None
    ) -> None:
        (kept,) = (tmp_path / "cache").glob("runtimes/objects/*/*")
        kept.unlink() if damage is None else kept.write_bytes(damage)
        assert (
            content(planned, RuntimeStore(settings_of())) == index.files["/files/onnxruntime-1.20.1-py3-none-any.whl"]
        )
        assert index.asked(".whl") == 2

    @pytest.mark.full
    def test_another_worker_with_an_empty_cache_fetches_it(
        self, index: WheelIndex, settings_of: SettingsOf, tmp_path: Path, planned: CachedFile
    ) -> None:
        other = settings_of(cache_dir=str(tmp_path / "other"))
        assert len(content(planned, RuntimeStore(other))) == planned.size

    def test_a_file_that_has_become_another_is_refused(
        self, index: WheelIndex, settings_of: SettingsOf, tmp_path: Path, planned: CachedFile
    ) -> None:
        index.files.clear()
        index.add("onnxruntime", "1.20.1", ["changed"])
        with pytest.raises(PermanentError, match="another file than the one that was planned") as caught:
            RuntimeStore(settings_of(cache_dir=str(tmp_path / "other"))).open(planned)
        assert caught.value.code is ErrorCode.RUNTIME_UNAVAILABLE

    @pytest.mark.full
    def test_an_outage_is_waited_out_and_a_missing_file_is_not(
        self, index: WheelIndex, settings_of: SettingsOf, tmp_path: Path, planned: CachedFile
    ) -> None:
        index.faults[""] = "outage"
        with pytest.raises(TransientError):
            RuntimeStore(settings_of(cache_dir=str(tmp_path / "other"))).open(planned)
        index.faults.clear()
        index.files.clear()
        with pytest.raises(PermanentError):
            RuntimeStore(settings_of(cache_dir=str(tmp_path / "third"))).open(planned)

    @pytest.mark.full
    def test_a_plan_tells_nothing_of_the_worker_that_made_it(self, planned: CachedFile, tmp_path: Path) -> None:
        assert str(tmp_path) not in planned.origin
        assert "127.0.0.1" not in planned.origin


@pytest.mark.full
def test_the_cache_stays_within_its_size_and_keeps_what_the_package_in_work_uses(
    index: WheelIndex, settings_of: SettingsOf, tmp_path: Path
) -> None:
    for name in ("onnxruntime", "onnxruntime-extensions"):
        for version in ("1.20.1", "1.21.0"):
            index.add(name, version)
    settings = settings_of(cache_bytes=10)
    store = RuntimeStore(settings)

    def pack(version: str) -> Gathered:
        event = a_run(f"onnxruntime=={version}", f"onnxruntime-extensions=={version}")
        return gather(
            event, ["CPUExecutionProvider"], generative=False, extensions=True, store=store, progress=Told()
        )  # fmt: skip

    def kept() -> set[str]:
        return {path.name for path in (tmp_path / "cache").glob("runtimes/objects/*/*")}

    def digests(result: Gathered) -> set[str]:
        return {entry.sha256 for entry in result.entries.values() if isinstance(entry, CachedFile)}

    first = pack("1.20.1")
    assert kept() == digests(first)
    second = pack("1.21.0")
    assert len(digests(second)) == 2
    assert kept() == digests(second)


def test_a_cache_folder_that_cannot_be_used_is_a_warning(
    index: WheelIndex, settings_of: SettingsOf, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    index.add("onnxruntime", "1.20.1")
    result = gathered(settings_of(cache_dir=str(tmp_path / "file")), "onnxruntime==1.20.1")
    assert "cache folder cannot be used" in "".join(missing(result).values())


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        path = tmp_path / "site"
        path.mkdir()
        return path

    def test_everything_comes_from_the_folder_and_nobody_is_asked(
        self, index: WheelIndex, feed: NugetFeed, settings_of: SettingsOf, folder: Path
    ) -> None:
        data = wheel("onnxruntime", "1.20.1", ["numpy"])
        (folder / "onnxruntime-1.20.1-py3-none-any.whl").write_bytes(data)
        (folder / "numpy-2.1.0-py3-none-any.whl").write_bytes(wheel("numpy", "2.1.0"))
        (folder / "microsoft.ml.onnxruntime.1.20.1.nupkg").write_bytes(feed.add("Microsoft.ML.OnnxRuntime", "1.20.1"))
        settings = settings_of(runtime_source="folder", runtime_folder=str(folder), runtime_dependencies=True)
        result = gathered(settings, "onnxruntime==1.20.1")
        assert result.unavailable == []
        assert wheels(result) == ["numpy-2.1.0-py3-none-any.whl", "onnxruntime-1.20.1-py3-none-any.whl"]
        assert names(result, "nuget") == ["Microsoft.ML.OnnxRuntime.1.20.1.nupkg"]
        assert index.requests == feed.requests == []

    @pytest.mark.full
    def test_the_folder_of_a_package_serves_as_one(
        self, index: WheelIndex, feed: NugetFeed, settings_of: SettingsOf, tmp_path: Path
    ) -> None:
        index.add("onnxruntime", "1.20.1")
        feed.add("Microsoft.ML.OnnxRuntime", "1.20.1")
        settings = settings_of()
        first = gathered(settings, "onnxruntime==1.20.1")
        package = unpacked(first, settings, tmp_path / "package")
        again = settings_of(
            runtime_source="folder",
            runtime_folder=str(package / "ONNXRuntimePackages"),
            cache_dir=str(tmp_path / "other"),
        )
        assert gathered(again, "onnxruntime==1.20.1") == first

    @pytest.mark.full
    def test_what_lies_there_under_a_false_name_or_damaged_is_refused(
        self, settings_of: SettingsOf, folder: Path
    ) -> None:
        (folder / "onnxruntime-1.20.1-py3-none-any.whl").write_bytes(wheel("onnxruntime", "1.20.1", says="evil"))
        (folder / "Microsoft.ML.OnnxRuntime.1.20.1.nupkg").write_bytes(b"PK")
        result = gathered(settings_of(runtime_source="folder", runtime_folder=str(folder)), "onnxruntime==1.20.1")
        assert "says inside that it is something else" in "".join(missing(result).values())
        assert (
            "damaged"
            in {entry.what: entry.reason for entry in result.unavailable}["Microsoft.ML.OnnxRuntime 1.20.1 (NuGet)"]
        )

    @pytest.mark.full
    def test_an_empty_folder_has_nothing(self, settings_of: SettingsOf, folder: Path) -> None:
        result = gathered(settings_of(runtime_source="folder", runtime_folder=str(folder)), "onnxruntime==1.20.1")
        assert [entry.reason for entry in result.unavailable] == [
            "PACKHOUSE_RUNTIME_FOLDER has no such file.", "There is no such wheel.",
        ]  # fmt: skip

    def test_a_folder_that_is_not_named_is_an_error_of_the_settings(self) -> None:
        with pytest.raises(ValueError, match="folder needs PACKHOUSE_RUNTIME_FOLDER"):
            Settings(runtime_source="folder")


def test_how_long_things_are_believed_is_short() -> None:
    assert cache.OUTAGE_SECONDS <= cache.ABSENT_SECONDS <= 60
