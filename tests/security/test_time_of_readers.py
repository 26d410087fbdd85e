"""Models made to keep a reader busy: their packages end with a code, and the worker goes on with other runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.gallery import Gallery, onnx_model
from support.protobuf import field

from packhouse.schemas import CompletedEvent

pytestmark = pytest.mark.full

PARTS = 50_000_000
"""Five times of what is read of a model: a minute of a processor for each of its readers."""


def tiny_fields(path: Path) -> None:
    path.write_bytes(field(7, b"\x50\x00" * PARTS))


def empty_nodes(path: Path) -> None:
    path.write_bytes(field(7, b"\x0a\x00" * PARTS))


def dimensions(path: Path) -> None:
    kind = field(1, b"\x08\x01" + field(2, b"\x0a\x00" * PARTS))
    path.write_bytes(field(7, field(11, field(1, b"x") + field(2, kind))))


def packed_dimensions(path: Path) -> None:
    """Of a tensor's own shape, which no reader needs: 50 million of them are one part."""
    path.write_bytes(field(7, field(5, field(8, b"w") + field(1, b"\x01" * PARTS)) + b"\x0a\x00" * PARTS))


def nested(path: Path) -> None:
    inner = b""
    for _ in range(3000):
        inner = field(1, field(5, field(6, inner)))
    path.write_bytes(field(7, inner * 500))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (tiny_fields, "more than 10000000 parts"),
        (empty_nodes, "more than 10000000 parts"),
        (dimensions, "its inputs and outputs are more, or more long-winded"),
        (packed_dimensions, "more than 10000000 parts"),
        (nested, "nested more than 100 deep"),
    ],
)
def test_a_model_of_very_many_parts_is_refused_in_time_and_the_worker_goes_on(
    gallery: Gallery, make: Callable[[Path], None], reason: str
) -> None:
    folder = gallery.folder()
    make(folder / "many.onnx")
    final = gallery.run(folder, onnx_model(folder / "many.onnx"))
    assert isinstance(final, CompletedEvent)
    (package,) = final.data.packages
    assert package.error is not None
    assert package.error.code == "model_not_onnx"
    assert package.attempts == 1, "no lease was lost meanwhile"
    assert reason in package.error.message
    other = gallery.folder()
    assert gallery.code(other, onnx_model(other / "model.onnx")) == "succeeded"
    (folder / "many.onnx").unlink()
