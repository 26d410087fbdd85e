"""Who the stand-in is: its tenant, its application, its workspaces, its storage accounts. Made once per data folder."""

from __future__ import annotations

import base64
import os
import secrets
import uuid
from pathlib import Path
from typing import Final, Self

from packhouse.schemas.base import Document

RESOURCE_GROUP: Final = "packhouse"
DATASTORE: Final = "workspaceblobstore"
"""What Azure calls the default datastore of every workspace."""
ACCOUNTS: Final = ("packhouselocal", "packhouseother")
WORKSPACES: Final = ("local", "other")
BLOB_DOMAIN: Final = ".blob.core.windows.net"


class Account(Document):
    """A storage account and its key."""

    name: str
    key: str
    """Base64 of 64 bytes."""


class Workspace(Document):
    """An Azure ML workspace and where its default datastore lies."""

    name: str
    identifier: str
    """The service's own id of the workspace, a UUID."""
    account: str
    container: str


class Identity(Document):
    """Everything about the stand-in that must stay the same when it is started again."""

    tenant: str
    client: str
    client_secret: str
    principal: str
    """Object id of the application's service principal."""
    signing_key: str
    """Key of the signature on tokens, hexadecimal."""
    subscription: str
    resource_group: str
    accounts: tuple[Account, ...]
    workspaces: tuple[Workspace, ...]

    @classmethod
    def fresh(cls) -> Self:
        """New ids and new secrets."""
        marks = [uuid.uuid4() for _ in WORKSPACES]
        return cls(
            tenant=str(uuid.uuid4()),
            client=str(uuid.uuid4()),
            client_secret=secrets.token_urlsafe(30),
            principal=str(uuid.uuid4()),
            signing_key=secrets.token_hex(32),
            subscription=str(uuid.uuid4()),
            resource_group=RESOURCE_GROUP,
            accounts=tuple(
                Account(name=name, key=base64.b64encode(secrets.token_bytes(64)).decode()) for name in ACCOUNTS
            ),
            workspaces=tuple(
                Workspace(name=name, identifier=str(mark), account=account, container=f"azureml-blobstore-{mark}")
                for name, mark, account in zip(WORKSPACES, marks, ACCOUNTS, strict=True)
            ),
        )

    @classmethod
    def kept_in(cls, file: Path) -> Self:
        """The identity in the file, which is made where it is missing; readable for the owner alone."""
        try:
            return cls.model_validate_json(file.read_text("utf-8"))
        except FileNotFoundError:
            identity = cls.fresh()
            write_private(file, identity.model_dump_json(indent=2))
            return identity

    def account_key(self, name: str) -> str:
        """The key of an account. Raises ``KeyError`` for one that is not ours."""
        return {account.name: account.key for account in self.accounts}[name]


def write_private(file: Path, text: str) -> None:
    """Write a file whole or not at all, readable for the owner alone."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
    fresh.replace(file)
