"""Addresses of blobs, and of places in a workspace's datastores."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote, unquote

from packhouse.schemas.errors import ErrorCode, PermanentError

HOST: Final = "blob.core.windows.net"

# Source: "Naming and referencing containers, blobs, and metadata" of Azure Storage.
_HTTPS: Final = re.compile(rf"https://([a-z0-9]{{3,24}})\.{re.escape(HOST)}/([^/]+)(?:/(.*))?", re.DOTALL)
_CONTAINER: Final = re.compile(r"\$?[a-z0-9](?:-?[a-z0-9]){2,62}")
_DATASTORE: Final = re.compile(r"azureml://datastores/([A-Za-z0-9_-]{1,255})/paths/(.*)", re.DOTALL)
_LONGEST: Final = 1024


@dataclass(frozen=True)
class BlobAddress:
    """A blob, a folder of blobs, or with an empty path a whole container."""

    account: str
    container: str
    path: str = ""
    """Inside the container, as it is: not percent-encoded, no slash before or behind it."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address of ``https://<account>.blob.core.windows.net/<container>/<path>``.

        Law: ``parse(str(address)) == address``. Raises ``PermanentError``: ``location_unsupported`` for any other URL
        or one with a query, ``path_forbidden`` for a path that could lead out of its container. No text of a query is
        in the error: it may be a signature.
        """
        plain = without_query(url)
        if plain != url:
            raise PermanentError(
                ErrorCode.LOCATION_UNSUPPORTED,
                f"{plain} came with a query or fragment, which the address of a blob must not have.",
                fix="Give the plain address; what gives access to it, such as a SAS, is for the environment alone.",
            )
        match = _HTTPS.fullmatch(url)
        if match is None or not _CONTAINER.fullmatch(match[2]):
            raise PermanentError(
                ErrorCode.LOCATION_UNSUPPORTED,
                f"{plain!r} is not the address of a blob.",
                fix=f"Write https://<account>.{HOST}/<container>/<path>.",
            )
        return cls(match[1], match[2], _checked(unquote(match[3] or "", errors="strict"), plain))

    @property
    def account_url(self) -> str:
        """The blob service of the account."""
        return f"https://{self.account}.{HOST}"

    @property
    def root(self) -> BlobAddress:
        """The container."""
        return BlobAddress(self.account, self.container)

    def child(self, relative: str) -> BlobAddress:
        """A place below this one; ``relative`` is not encoded. Raises ``PermanentError`` (``path_forbidden``)."""
        path = _checked(f"{self.path}/{relative}" if self.path else relative, f"{self}/{relative}")
        return BlobAddress(self.account, self.container, path)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.account_url, self.container, quote(self.path))))


@dataclass(frozen=True)
class DatastorePath:
    """A place in a datastore of the run's workspace."""

    datastore: str
    path: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """The place of ``azureml://datastores/<name>/paths/<path>``. Raises as ``BlobAddress.parse``."""
        match = _DATASTORE.fullmatch(url)
        if match is None:
            raise PermanentError(
                ErrorCode.LOCATION_UNSUPPORTED,
                f"{without_query(url)!r} is not the address of something in a datastore.",
                fix="Write azureml://datastores/<name>/paths/<path>; the workspace is the run's.",
            )
        return cls(match[1], _checked(match[2], without_query(url)))


def is_datastore_path(url: str) -> bool:
    """Whether an address is one of ``azureml:``."""
    return url.startswith("azureml://")


def without_query(url: str) -> str:
    """A URL up to its query or fragment, which may hold what is secret."""
    return re.split(r"[?#]", url, maxsplit=1)[0] if url.startswith("https://") else url.partition("?")[0]


def _checked(path: str, shown: str) -> str:
    """A path that names what it seems to: clients and services resolve dots, and take a backslash for a slash."""
    path = path.rstrip("/")
    odd = any(part in ("", ".", "..") or part.endswith(".") for part in path.split("/")) if path else False
    if odd or "\\" in path or any(unicodedata.category(each) in ("Cc", "Cs") for each in path):
        raise PermanentError(
            ErrorCode.PATH_FORBIDDEN,
            f"{shown!r} has a part that is empty, dots, or holds a backslash or a control character.",
            fix="Give the path of the blob as it is in the container, with plain slashes.",
        )
    if len(path) > _LONGEST:
        raise PermanentError(
            ErrorCode.PATH_FORBIDDEN,
            f"{shown[:200]!r}… is longer than the {_LONGEST} characters of a blob's name.",
            fix="Give it a shorter path.",
        )
    return path
