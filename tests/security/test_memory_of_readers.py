"""Files made to exhaust a reader: it ends within a bound of memory that the file has no say in, and says why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper
from support.protobuf import field

MEMORY = 256 << 20
"""Address space of the process that reads; Python and pydantic alone take more than a third of it."""
READS = """
import resource, sys
from packhouse.schemas import PermanentError
from packhouse.schemas.epcontext import ep_contexts
from packhouse.schemas.onnx import external_locations
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
reader = {"external": external_locations, "contexts": ep_contexts}[sys.argv[3]]
try:
    print("read", len(reader(sys.argv[1])))
except PermanentError as error:
    print(error.code, error.message)
"""


def read(path: Path, reader: str) -> str:
    """What came of reading it in a process whose memory is limited."""
    command = [sys.executable, "-c", READS, str(path), str(MEMORY), reader]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def external_names(path: Path) -> str:
    tensor = TensorProto(name="n" * 4000, data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="l" * 4000)
    path.write_bytes(field(7, field(5, tensor.SerializeToString()) * 20_000))
    return "external"


def context_names(path: Path) -> str:
    node = helper.make_node(
        "EPContext", [], [], name="n" * 4000, domain="com.microsoft", embed_mode=0, ep_cache_context="c" * 4000
    )
    path.write_bytes(field(7, field(1, node.SerializeToString()) * 20_000))
    return "contexts"


def graphs_in_graphs(path: Path) -> str:
    inner = b""
    for _ in range(5000):
        inner = field(1, field(5, field(6, inner)))
    path.write_bytes(field(7, inner))
    return "external"


def contexts_in_graphs(path: Path) -> str:
    graphs_in_graphs(path)
    return "contexts"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (external_names, "names of its external tensors"),
        (context_names, "EPContext nodes name more"),
        (graphs_in_graphs, "nested more than 100 deep"),
        (contexts_in_graphs, "nested more than 100 deep"),
    ],
)
def test_a_model_made_to_exhaust_memory_is_no_model(tmp_path: Path, make: Callable[[Path], str], reason: str) -> None:
    told = read(tmp_path / "model.onnx", make(tmp_path / "model.onnx"))
    assert told.startswith("model_not_onnx")
    assert reason in told


@pytest.mark.full
def test_a_model_of_200_megabytes_is_read_within_the_same_bound(tmp_path: Path) -> None:
    """The bound has room for a sound model, whatever weights it carries."""
    weight = field(9, bytes(1 << 20))
    (tmp_path / "model.onnx").write_bytes(field(7, field(5, field(8, b"w") + weight) * 200))
    assert read(tmp_path / "model.onnx", "external") == "read 0\n"
