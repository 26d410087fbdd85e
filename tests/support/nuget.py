"""A NuGet v3 feed on loopback, and packages for it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Sequence

from support.served import Served


def nupkg(
    nuget_id: str, version: str, needs: Sequence[tuple[str, str]] = (), *, framework: str = "net8.0", head: str = ""
) -> bytes:
    """A package as NuGet makes it: a nuspec with its dependencies for one framework, and a library."""
    dependencies = "".join(f'<dependency id="{name}" version="{lowest}" />' for name, lowest in needs)
    nuspec = (
        f'<?xml version="1.0" encoding="utf-8"?>{head}'
        '<package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata>'
        f"<id>{nuget_id}</id><version>{version}</version><authors>test</authors><description>test</description>"
        f'<dependencies><group targetFramework="{framework}">{dependencies}</group></dependencies>'
        "</metadata></package>"
    )
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{nuget_id}.nuspec"), nuspec)
        archive.writestr(zipfile.ZipInfo(f"runtimes/linux-x64/native/lib{nuget_id}.so"), bytes(range(256)) * 40)
    return data.getvalue()


class NugetFeed(Served):
    """``feed.add("Microsoft.ML.OnnxRuntime", "1.20.1")``; its service index is at ``feed.index``."""

    @property
    def index(self) -> str:
        base = {"@id": f"{self.url}/flat/", "@type": "PackageBaseAddress/3.0.0"}
        other = {"@id": f"{self.url}/query", "@type": "SearchQueryService/3.5.0"}
        content = json.dumps({"version": "3.0.0", "resources": [other, base]}).encode()
        self.files.setdefault("/v3/index.json", content)
        return f"{self.url}/v3/index.json"

    def add(
        self,
        nuget_id: str,
        version: str,
        needs: Sequence[tuple[str, str]] = (),
        *,
        content: bytes | None = None,
        sha512: bool = False,
    ) -> bytes:
        """Put a package there; returns its bytes."""
        data = nupkg(nuget_id, version, needs) if content is None else content
        path = f"/flat/{nuget_id.lower()}/{version}/{nuget_id.lower()}.{version}.nupkg"
        self.files[path] = data
        if sha512:
            self.files[path + ".sha512"] = base64.b64encode(hashlib.sha512(data).digest())
        return data
