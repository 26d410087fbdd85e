"""Parts of the stand-in for Azure that need no server."""

from __future__ import annotations

import re
import ssl
import stat
from pathlib import Path
from typing import Any

import pytest

from packhouse.local.azure import azurite
from packhouse.local.azure.authority import certificates_in
from packhouse.local.azure.choice import azurite_for
from packhouse.local.azure.environment import azure_environment, without_azure
from packhouse.local.azure.identity import Identity
from packhouse.local.azure.place import Place
from packhouse.local.azure.standin import tokens
from packhouse.local.azure.standin.faults import Fault, Faults
from packhouse.local.azure.standin.log import Log
from packhouse.schemas.errors import PermanentError
from packhouse.worker.settings import Settings

LOCK = Path(azurite.__file__).with_name("azurite") / "package-lock.json"


def test_the_lock_of_azurite_has_digests_and_no_address() -> None:
    text = LOCK.read_text("utf-8")
    assert "://" not in text
    packages = re.findall(r'"node_modules/', text)
    assert len(re.findall(r'"integrity": "sha512-', text)) == len(packages)


def test_certificates_are_made_once_and_the_authority_signs_nothing_more(tmp_path: Path) -> None:
    made = certificates_in(tmp_path / "certificates")
    before = {file.name: file.read_bytes() for file in (tmp_path / "certificates").iterdir()}
    assert certificates_in(tmp_path / "certificates") == made
    assert {file.name: file.read_bytes() for file in (tmp_path / "certificates").iterdir()} == before
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    assert sum(b"PRIVATE KEY" in content for content in before.values()) == 1
    ssl.create_default_context(cafile=str(made.authority))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.chain, made.key)


def test_an_identity_stays_what_it_is(tmp_path: Path) -> None:
    first = Identity.kept_in(tmp_path / "identity.json")
    assert Identity.kept_in(tmp_path / "identity.json") == first
    assert Identity.kept_in(tmp_path / "other.json").client_secret != first.client_secret
    assert stat.S_IMODE((tmp_path / "identity.json").stat().st_mode) == 0o600


def test_the_environment_names_a_workspace_that_the_settings_understand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path / "azure")
    place.make()
    environment = azure_environment(place, 4711)
    monkeypatch.setenv("PACKHOUSE_AZURE_WORKSPACES", environment["PACKHOUSE_AZURE_WORKSPACES"])
    assert [str(one) for one in Settings().azure_workspaces] == [environment["PACKHOUSE_AZURE_WORKSPACES"]]
    assert without_azure({"AZURE_CLIENT_ID": "x", "AZUREML_RUN": "x", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_a_token_is_good_for_its_resource_and_as_it_was_issued() -> None:
    ours, other = Identity.fresh(), Identity.fresh()
    token = tokens.issue(ours, "https://management.azure.com")
    assert tokens.is_good(ours, token, "https://management.azure.com")
    assert not tokens.is_good(ours, token, "https://storage.azure.com")
    assert not tokens.is_good(other, token, "https://management.azure.com")
    assert not tokens.is_good(ours, token[:-2], "https://management.azure.com")
    assert not tokens.is_good(ours, "", "https://management.azure.com")


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        ({}, [True, False, False, False]),
        ({"times": None}, [True, True, True, True]),
        ({"times": 2, "skip": 1}, [False, True, True, False]),
        ({"method": "^GET$"}, [False, False, False, False]),
        ({"host": "blob", "path": "comp=block&", "times": None}, [True, True, True, True]),
        ({"path": "comp=blocklist"}, [False, False, False, False]),
    ],
)
def test_a_fault_strikes_what_matches_so_many_times(fault: dict[str, Any], struck: list[bool]) -> None:
    faults = Faults()
    number = faults.add(Fault(status=500, **fault))
    request = ("PUT", "account.blob.core.windows.net", "/container/blob?comp=block&blockid=AA")
    assert [faults.strike(*request) is not None for _ in struck] == struck
    assert faults.struck(number) == sum(struck)
    faults.remove()
    assert faults.strike(*request) is None


def test_the_log_holds_no_signature() -> None:
    record = Log().begin("GET", "h", "/c/b?sv=1&sig=secret%3D&se=2", {})
    assert (record.query, record.credential) == ("sv=1&sig=REDACTED&se=2", "SAS")
    assert Log().begin("GET", "h", "/", {"Authorization": "Bearer secret"}).credential == "Bearer"


def fake_npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An npm that does what the script says, and an empty cache."""
    program = folder / "bin/npm"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    (folder / "bin/node").symlink_to(program)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


def test_azurite_is_installed_once_and_never_by_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = "node_modules/azurite/dist/src/blob"
    fake_npm(tmp_path, f"echo run >> {tmp_path}/runs; mkdir -p {main} && touch {main}/main.js", monkeypatch)
    said: list[str] = []
    home = azurite.install(said.append)
    assert (home / main / "main.js").exists()
    assert azurite.install(said.append) == home
    assert (tmp_path / "runs").read_text() == "run\n"
    assert len(said) == 1


def test_a_failing_npm_is_told_in_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path, "echo 'npm error network'; exit 1", monkeypatch)
    said: list[str] = []
    assert azurite_for(Settings(azure_workspaces=()), said.append, lambda: False) is None
    assert said[1:] == [
        "npm could not install Azurite: npm error network. Going on without the stand-in for Azure.",
    ]
    assert [path.name for path in (tmp_path / "cache/packhouse").iterdir() if path.is_dir()] == []


def test_a_stack_that_is_to_stop_does_not_wait_for_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path, "sleep 100", monkeypatch)
    with pytest.raises(PermanentError, match="it was ended"):
        azurite.install(lambda _: None, lambda: True)
