"""A Python package index on loopback, and wheels for it. Format: PEP 503, PEP 427."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Sequence

import pytest
from support.served import Served


def wheel(name: str, version: str, needs: Sequence[str] = (), *, says: str | None = None) -> bytes:
    """A wheel with one module, named as the distribution, that knows its version. ``says`` is a name inside."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": f"__version__ = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {says or name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {each}\n" for each in needs),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return data.getvalue()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


class WheelIndex(Served):
    """``index.add("onnxruntime", "1.20.1", tag="cp311-cp311-win_amd64")``."""

    def configure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let pip take everything from here, as an operator would configure it."""
        for variable in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONSTRAINT"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", f"{self.url}/simple/")
        monkeypatch.setenv("PIP_RETRIES", "0")

    def add(
        self,
        name: str,
        version: str,
        needs: Sequence[str] = (),
        *,
        tag: str = "py3-none-any",
        content: bytes | None = None,
        hashed: bool = True,
    ) -> bytes:
        """Put a wheel there; returns its bytes."""
        data = wheel(name, version, needs) if content is None else content
        path = f"/files/{name.replace('-', '_')}-{version}-{tag}.whl"
        self.files[path] = data
        page = self.files.get(f"/simple/{name}/", b"<!DOCTYPE html><html><body>\n")
        fragment = f"#sha256={hashlib.sha256(data).hexdigest()}" if hashed else ""
        link = f'<a href="{path}{fragment}">{path.rpartition("/")[2]}</a><br>\n'
        self.files[f"/simple/{name}/"] = page + link.encode()
        return data
