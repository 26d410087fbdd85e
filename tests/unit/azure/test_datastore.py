from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from packhouse.worker.azure.datastore import Secret, end_of


def signature(minutes: float, name: str = "s") -> SimpleNamespace:
    end = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ").replace(":", "%3A")
    return SimpleNamespace(sas_token=f"?sv=2024&se={end}&sig={name}")


def test_a_signature_is_asked_for_once_while_it_holds() -> None:
    asked: list[int] = []
    secret = Secret("account", lambda: asked.append(1) or signature(60))
    assert secret.current() is secret.current()
    assert len(asked) == 1


def test_a_signature_near_its_end_is_replaced_within_the_same_credential() -> None:
    given = [signature(60, "new"), signature(-5, "old")]
    secret = Secret("account", given.pop)
    credential = secret.current()
    assert isinstance(credential, AzureSasCredential)
    assert credential.signature.endswith("sig=old")
    assert secret.current() is credential
    assert credential.signature.endswith("sig=new")


def test_a_signature_of_a_few_minutes_is_not_asked_for_at_every_use() -> None:
    secret = Secret("account", [signature(5, "short")].pop)
    assert secret.current() is secret.current()


def test_a_refused_signature_can_be_replaced_before_its_end() -> None:
    given = [signature(60, "new"), signature(60, "old")]
    secret = Secret("account", given.pop)
    secret.current()
    secret.expire()
    assert secret.current().signature.endswith("sig=new")


def test_an_account_key_becomes_a_credential_of_the_account() -> None:
    credential = Secret("account", lambda: SimpleNamespace(account_key="a2V5")).current()
    assert isinstance(credential, AzureNamedKeyCredential)
    assert credential.named_key.name == "account"


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("account", lambda: signature(60, "hidden"))
    secret.current()
    assert "hidden" not in repr(secret)


def test_the_end_of_a_signature_is_read_where_it_says_one() -> None:
    assert end_of("se=2030-01-01T00%3A00%3A00Z&sig=x") == datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    assert end_of("sig=x") is None
    assert end_of("se=never") is None
