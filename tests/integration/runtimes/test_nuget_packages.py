from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from support.nuget import NugetFeed, nupkg
from support.runtimes import Told, content, gathered
from support.served import Fault

from packhouse.schemas import PermanentError
from packhouse.schemas.errors import TransientError
from packhouse.schemas.files import RuntimeLock
from packhouse.worker.package.tree import CachedFile, Made
from packhouse.worker.runtimes import nuget
from packhouse.worker.runtimes.gather import Gathered
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import Settings

SettingsOf = Callable[..., Settings]
ID = "Microsoft.ML.OnnxRuntime"
MANAGED = f"{ID}.Managed"
PACKAGE = "/microsoft.ml.onnxruntime.1.20.1.nupkg"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries are for servers that need them."""
    monkeypatch.setattr(nuget, "_PAUSE", 0.01)


@pytest.fixture
def pack(settings_of: SettingsOf) -> Callable[..., Gathered]:
    """Gathers NuGet packages alone."""

    def gather(*packages: str, **more: Any) -> Gathered:
        providers = more.pop("providers", ["CPUExecutionProvider"])
        extensions = more.pop("extensions", False)
        settings = settings_of(**{"runtime_pythons": (), **more})
        return gathered(settings, *packages or ["onnxruntime==1.20.1"], providers=providers, extensions=extensions)

    return gather


def files(result: Gathered) -> list[str]:
    prefix = "ONNXRuntimePackages/nuget/"
    return [path.removeprefix(prefix) for path in sorted(result.entries) if path.startswith(prefix)]


def only_reason(result: Gathered) -> str:
    (entry,) = result.unavailable
    assert entry.what.startswith(f"{ID} 1.20.1") or entry.what.startswith(MANAGED)
    return entry.reason


def test_a_package_comes_with_the_parts_that_it_is_made_of(
    feed: NugetFeed, pack: Callable[..., Gathered], settings_of: SettingsOf
) -> None:
    data = feed.add(ID, "1.20.1", [(MANAGED, "[1.20.1, )"), ("System.Memory", "4.5.5")])
    feed.add(MANAGED, "1.20.1")
    feed.add("System.Memory", "4.5.5")
    result = pack()
    assert result.unavailable == []
    assert files(result) == [f"{ID}.1.20.1.nupkg", f"{MANAGED}.1.20.1.nupkg"]
    entry = result.entries[f"ONNXRuntimePackages/nuget/{ID}.1.20.1.nupkg"]
    assert isinstance(entry, CachedFile)
    assert entry.sha256 == hashlib.sha256(data).hexdigest()
    assert content(entry, RuntimeStore(settings_of())) == data
    lock = result.entries["ONNXRuntimePackages/packages.lock.json"]
    assert isinstance(lock, Made)
    locked = RuntimeLock.model_validate_json(lock.data).files
    assert [(one.kind, one.name, one.version, one.dependency) for one in locked] == [
        ("nuget", ID, "1.20.1", False), ("nuget", MANAGED, "1.20.1", True),
    ]  # fmt: skip
    readme = result.entries["ONNXRuntimePackages/README.md"]
    assert isinstance(readme, Made)
    assert f"dotnet add package {ID} --version 1.20.1\n```" in readme.data.decode()


def test_with_dependencies_everything_that_it_needs_comes_along(feed: NugetFeed, pack: Callable[..., Gathered]) -> None:
    feed.add(ID, "1.20.1", [("System.Memory", "4.5.5")])
    feed.add("System.Memory", "4.5.5", [("System.Buffers", "4.5.1")])
    feed.add("System.Buffers", "4.5.1", [("System.Memory", "4.5.0")])
    assert files(pack(runtime_dependencies=True)) == [
        f"{ID}.1.20.1.nupkg", "System.Buffers.4.5.1.nupkg", "System.Memory.4.5.5.nupkg",
    ]  # fmt: skip


def test_each_build_and_extension_has_a_package_of_its_own_version(
    feed: NugetFeed, pack: Callable[..., Gathered]
) -> None:
    feed.add(f"{ID}.Gpu", "1.17.0", [(f"{ID}.Gpu.Linux", "1.17.0"), (f"{ID}.Gpu.Windows", "1.17.0")])
    feed.add(f"{ID}.Gpu.Linux", "1.17.0")
    feed.add(f"{ID}.Gpu.Windows", "1.17.0")
    feed.add(f"{ID}.Extensions", "0.12.0")
    result = pack(
        "onnxruntime-gpu==1.17", "onnxruntime-extensions==0.12.0", providers=["CUDAExecutionProvider"], extensions=True
    )
    assert result.unavailable == []
    assert files(result) == [
        f"{ID}.Extensions.0.12.0.nupkg", f"{ID}.Gpu.1.17.0.nupkg", f"{ID}.Gpu.Linux.1.17.0.nupkg",
        f"{ID}.Gpu.Windows.1.17.0.nupkg",
    ]  # fmt: skip


def test_a_package_that_the_feed_does_not_have_is_told(feed: NugetFeed, pack: Callable[..., Gathered]) -> None:
    result = pack()
    assert only_reason(result) == "There is no such package."
    assert result.warnings == [f"{ID} 1.20.1 (NuGet): There is no such package."]
    assert feed.asked(PACKAGE) == 1


def test_a_part_that_the_feed_does_not_have_is_told(feed: NugetFeed, pack: Callable[..., Gathered]) -> None:
    feed.add(ID, "1.20.1", [(MANAGED, "1.20.1")])
    result = pack()
    assert files(result) == [f"{ID}.1.20.1.nupkg"]
    assert result.warnings == [f"{MANAGED} 1.20.1 (NuGet): There is no such package."]


@pytest.mark.parametrize("version", ["1.20.1.dev3", "1.20.1rc1", "1.20.1+cu12", "1.20.1.post1"])
def test_a_version_of_pythons_alone_has_no_counterpart(
    feed: NugetFeed, pack: Callable[..., Gathered], version: str
) -> None:
    result = pack(f"onnxruntime=={version}")
    assert "no counterpart" in result.unavailable[0].reason
    assert feed.requests == []


def test_without_a_feed_the_setting_is_named(pack: Callable[..., Gathered]) -> None:
    assert only_reason(pack(nuget_index=None)) == "PACKHOUSE_NUGET_INDEX is not set."


@pytest.mark.parametrize(
    ("fault", "said", "tries"),
    [
        ("outage", "HTTP status 503", 3),
        ("refused", "HTTP status 403", 1),
        ("corrupt", "damaged archive", 1),
        ("truncated", "did not answer|broke off", 3),
        ("elsewhere", "another host, which PACKHOUSE_NUGET_HOSTS does not name", 1),
    ],
)
def test_a_fault_of_the_feed_is_told_and_passes(
    feed: NugetFeed,
    pack: Callable[..., Gathered],
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    said: str,
    tries: int,
) -> None:
    feed.add(ID, "1.20.1")
    feed.faults[PACKAGE] = fault
    reason = only_reason(pack())
    assert any(part in reason for part in said.split("|")), reason
    assert feed.asked(PACKAGE) == tries
    feed.faults.clear()
    monkeypatch.setattr("packhouse.worker.runtimes.store.ABSENT_SECONDS", 0)
    monkeypatch.setattr("packhouse.worker.runtimes.store.OUTAGE_SECONDS", 0)
    assert pack().unavailable == []


def test_an_unreachable_feed_is_a_warning_or_by_the_setting_a_failure_that_is_tried_again(
    feed: NugetFeed, pack: Callable[..., Gathered], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9/v3/index.json"
    assert only_reason(pack(nuget_index=nowhere)) == "The feed did not answer as it should."
    with pytest.raises(TransientError, match="did not answer"):
        pack(nuget_index=nowhere, runtime_missing="fail")
    with pytest.raises(PermanentError, match="no such package"):
        pack(runtime_missing="fail")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (nupkg("Evil", "1.20.1"), "its nuspec says that it is 'evil'"),
        (nupkg(ID, "1.20.0"), "nuspec says"),
        (b"", "damaged"),
        (b"<html>not found</html>", "damaged"),
    ],
)
def test_a_file_that_is_another_package_is_refused(
    feed: NugetFeed, pack: Callable[..., Gathered], content: bytes, said: str
) -> None:
    feed.add(ID, "1.20.1", content=content)
    assert said in only_reason(pack()).lower()


def test_a_feed_that_offers_a_digest_is_held_to_it(
    feed: NugetFeed, pack: Callable[..., Gathered], monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.add(ID, "1.20.1", sha512=True)
    path = next(path for path in feed.files if path.endswith(".sha512"))
    good, feed.files[path] = feed.files[path], base64.b64encode(hashlib.sha512(b"other").digest())
    assert "does not have the digest" in only_reason(pack())
    feed.files[path] = good
    monkeypatch.setattr("packhouse.worker.runtimes.store.OUTAGE_SECONDS", 0)
    assert pack().unavailable == []


def test_a_redirect_on_the_same_host_is_followed(feed: NugetFeed, pack: Callable[..., Gathered]) -> None:
    feed.add(ID, "1.20.1")
    feed.faults[PACKAGE] = "moved"
    assert pack().unavailable == []


def test_a_redirect_without_an_end_is_not(feed: NugetFeed, pack: Callable[..., Gathered]) -> None:
    feed.add(ID, "1.20.1")
    feed.faults |= {PACKAGE: "moved", "?moved": "moved"}
    assert "without an end" in only_reason(pack())


def test_another_host_is_asked_where_the_setting_names_it_and_is_told_no_password(
    feed: NugetFeed, pack: Callable[..., Gathered], monkeypatch: pytest.MonkeyPatch
) -> None:
    with NugetFeed() as other:
        other.add(ID, "1.20.1")
        index = feed.index.replace("http://", "http://user:pass%20word@")
        resources = [{"@id": f"{other.url}/flat", "@type": ["PackageBaseAddress/3.0.0"]}]
        feed.files["/v3/index.json"] = json.dumps({"resources": resources}).encode()
        assert "PACKHOUSE_NUGET_HOSTS" in only_reason(pack(nuget_index=index))
        assert other.requests == []
        monkeypatch.setattr("packhouse.worker.runtimes.store.ABSENT_SECONDS", 0)
        assert pack(nuget_index=index, nuget_hosts=(other.host,)).unavailable == []
        assert set(other.authorized) == {None}
        assert feed.authorized[-1] == "Basic " + base64.b64encode(b"user:pass word").decode()


@pytest.mark.parametrize(
    "index",
    [
        b"[]",
        b"{}",
        b"not json",
        b'{"resources": [{"@type": "PackageBaseAddress/3.0.0"}, 3]}',
        b'{"resources": [{"@id": "file:///etc/", "@type": "PackageBaseAddress/3.0.0"}]}',
    ],
)
def test_a_service_index_that_is_none_is_told(feed: NugetFeed, pack: Callable[..., Gathered], index: bytes) -> None:
    feed.files["/v3/index.json"] = index
    reason = only_reason(pack())
    assert "no service index" in reason or "not https" in reason


def test_a_package_larger_than_the_setting_is_given_up_while_it_comes(
    feed: NugetFeed, pack: Callable[..., Gathered]
) -> None:
    feed.add(ID, "1.20.1")
    assert only_reason(pack(runtime_file_bytes=1024)) == "It is larger than 1024 bytes."


def test_a_feed_that_stops_in_the_middle_is_given_up(
    feed: NugetFeed, pack: Callable[..., Gathered], monkeypatch: pytest.MonkeyPatch
) -> None:
    from packhouse.worker.runtimes.http import Web

    feed.add(ID, "1.20.1")
    feed.faults[PACKAGE] = "hang"
    monkeypatch.setattr(nuget, "_TRIES", 1)
    monkeypatch.setattr(
        "packhouse.worker.runtimes.store.Web", lambda *given, **named: Web(*given, **named, silence=0.3)
    )
    assert only_reason(pack()) == "The feed did not answer as it should."


def test_bytes_are_reported_as_they_come(feed: NugetFeed, settings_of: SettingsOf) -> None:
    data = feed.add(ID, "1.20.1")
    told = Told()
    gathered(settings_of(runtime_pythons=()), "onnxruntime==1.20.1", progress=told)
    assert told.bytes >= len(data)
