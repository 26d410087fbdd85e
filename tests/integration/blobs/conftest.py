"""Blob storage for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.azure import AzureStandIn
from support.blobs import BlobPlace
from support.farm import Farm, quick


@pytest.fixture
def place(azure_here: AzureStandIn) -> Iterator[BlobPlace]:
    """The default container of the stand-in, empty."""
    place = BlobPlace(azure_here)
    yield place
    place.close()


@pytest.fixture
def azure_farm(azure_here: AzureStandIn, namespace: str, redis_url: str, tmp_path: Path) -> Iterator[Farm]:
    """A farm whose workers may use the default container."""
    folder = tmp_path / "farm"
    folder.mkdir()
    settings = quick(redis_url, namespace, tmp_path)
    allowed = f"{azure_here.account}/{azure_here.container}"
    environment = azure_here.environment | {"PACKHOUSE_AZURE_ACCOUNTS": allowed}
    farm = Farm(settings, folder, extra=environment)
    yield farm
    farm.close()
