"""Blob storage for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.azure import AzureStandIn
from support.blobs import BlobPlace


@pytest.fixture
def place(azure_here: AzureStandIn) -> Iterator[BlobPlace]:
    """The default container of the stand-in, empty."""
    place = BlobPlace(azure_here)
    yield place
    place.close()
