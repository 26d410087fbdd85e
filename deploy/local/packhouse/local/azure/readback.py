"""``python -m packhouse.local.azure.readback WORKSPACE``: fetch assets again, and their files, by the SDK alone.

Reads a JSON list of ``Wanted`` from standard input and prints a ``Found`` for each, one a line. Its environment says
where Azure is; nothing of the worker is used.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from packhouse.schemas.base import Digest, Document

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.credentials import TokenCredential


class Wanted(Document):
    """A registered asset, and the digest that its files are to have."""

    collection: Literal["models", "data"]
    name: str
    version: str
    digest: Digest | None


class Found(Document):
    """An asset as the workspace gave it, its files as the datastore gave them."""

    asset: Wanted
    type: str
    path: str
    files: int
    bytes: int
    digest: Digest
    """Of the files that were downloaded."""

    @property
    def matches(self) -> bool:
        """Whether the files are those that were registered."""
        return self.digest == self.asset.digest


_WANTED = TypeAdapter(list[Wanted])


def read_back_by(environment: Mapping[str, str], assets: list[Wanted]) -> list[Found]:
    """What ``read_back`` finds in a process of its own, which an environment leads to the workspace that it names.

    The assets from the first on that cannot be read are missing; the process says why on standard error.
    """
    workspace = environment["PACKHOUSE_AZURE_WORKSPACES"].partition(";")[0]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "packhouse.local.azure.readback", workspace],
        input=_WANTED.dump_json(assets),
        env=dict(environment),
        stdout=subprocess.PIPE,
        check=False,
    )
    return [Found.model_validate_json(line) for line in done.stdout.splitlines()]


def read_back(assets: list[Wanted], workspace: str) -> Iterator[Found]:
    """Get each asset from ``subscription/resource_group/workspace`` and download its folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from azure.ai.ml import MLClient
        from azure.identity import DefaultAzureCredential
    with DefaultAzureCredential() as credential:
        subscription, group, name = workspace.split("/")
        client = MLClient(credential, subscription, group, name, enable_telemetry=False)
        for asset in assets:
            yield _read(client, credential, asset)


def _read(client: MLClient, credential: TokenCredential, asset: Wanted) -> Found:
    from azure.storage.blob import ContainerClient

    operations: Any = client.models if asset.collection == "models" else client.data
    found = operations.get(asset.name, asset.version)
    place, _, folder = str(found.path).partition("/paths/")
    store: Any = client.datastores.get(place.rpartition("/")[2])
    url = f"{store.protocol}://{store.account_name}.blob.{store.endpoint}/{store.container_name}"
    prefix = folder.rstrip("/") + "/"
    lines: list[str] = []
    total = 0
    with ContainerClient.from_container_url(url, credential) as container:
        for name in list(container.list_blob_names(name_starts_with=prefix)):
            digest, size = hashlib.sha256(), 0
            for piece in container.download_blob(name).chunks():
                digest.update(piece)
                size += len(piece)
            lines.append(f"{name.removeprefix(prefix)}\0{size}\0{digest.hexdigest()}\n")
            total += size
    whole = "sha256:" + hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    return Found(asset=asset, type=found.type, path=prefix, files=len(lines), bytes=total, digest=whole)


if __name__ == "__main__":
    for one in read_back(_WANTED.validate_json(sys.stdin.buffer.read()), sys.argv[1]):
        sys.stdout.write(one.model_dump_json() + "\n")
        sys.stdout.flush()
