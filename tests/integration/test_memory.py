from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper

MIB = 1 << 20
MOST_GROWTH = 64 * MIB

# Run in a process of its own: the highest memory a process ever had cannot be set back.
PACKAGE = """
import json, os, sys
from packhouse.schemas.footprint import ModelConfig
from packhouse.worker.models.source import find
from packhouse.worker.storage.deflating import worth_deflating
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.output import publish_file
from packhouse.worker.storage.sink import FileSink
from packhouse.worker.storage.storage import Storage
from packhouse.worker.storage.zip_writer import ZipWriter

def highest():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

def package(model, folder, name):
    storage = Storage(Roots([folder]))
    config = ModelConfig(type="ONNXModel", config={"model_path": model})
    source = find(config, lambda path: Location(path, path), storage)
    target = storage.open_output_folder(Location(folder, folder))
    with publish_file(target, name, "t1", "job") as fd:
        writer = ZipWriter(FileSink(fd))
        for file in source.files:
            with storage.open_file(file.location) as opened:
                worth_deflating(opened)
                writer.add_file(file.relative, opened, deflate=DEFLATE)
        writer.finish()

DEFLATE = sys.argv[3] == "deflated"
idle = highest()
package(sys.argv[1], sys.argv[2], "large.zip")
print(json.dumps({"idle": idle, "peak": highest(), "written": os.path.getsize(sys.argv[2] + "/large.zip")}))
"""


def with_external_data(folder: Path, size: int) -> Path:
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[size], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "w.data"), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph([], "g", [], [], initializer=[tensor])
    (folder / "large.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    sparse(folder / "w.data", b"", size)
    return folder / "large.onnx"


def with_weights_inside(folder: Path, size: int) -> Path:
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[size]).SerializeToString()
    tensor += b"\x4a" + varint(size)  # raw_data, of which only the header is written
    graph = b"\x2a" + varint(len(tensor) + size) + tensor
    sparse(folder / "large.onnx", b"\x08\x08\x3a" + varint(len(graph) + size) + graph, size)
    return folder / "large.onnx"


def sparse(path: Path, head: bytes, size: int) -> None:
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def measure(folder: Path, large: Path, how: str, size: int) -> dict[str, int]:
    if shutil.disk_usage(folder).free < 2 * size:
        pytest.skip(f"not enough free disk to write {size} bytes")
    arguments = [str(large), str(folder), how]
    try:
        done = subprocess.run([sys.executable, "-c", PACKAGE, *arguments], capture_output=True, text=True, check=False)
    finally:
        (folder / "large.zip").unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("how", ["stored", "deflated"])
@pytest.mark.parametrize("make", [with_external_data, with_weights_inside])
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(256 * MIB, marks=pytest.mark.slow, id="256MiB"),
        pytest.param(1024 * MIB, marks=pytest.mark.full, id="1GiB"),
    ],
)
def test_memory_does_not_grow_with_the_model(tmp_path: Path, size: int, make, how: str) -> None:
    found = measure(tmp_path, make(tmp_path, size), how, size)
    assert found["peak"] - found["idle"] <= MOST_GROWTH
    assert (found["written"] > size) is (how == "stored")


@pytest.mark.full
@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_eight_gigabytes(tmp_path: Path) -> None:
    size = 8192 * MIB
    found = measure(tmp_path, with_external_data(tmp_path, size), "stored", size)
    assert found["peak"] - found["idle"] <= MOST_GROWTH
    assert found["written"] > size
