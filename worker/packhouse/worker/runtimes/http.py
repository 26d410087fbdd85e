"""Fetching by HTTP from a feed that the operator named, and from nowhere else."""

from __future__ import annotations

import base64
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from packhouse.worker.runtimes.failures import Absent, Outage

_REDIRECTS: Final = {301, 302, 303, 307, 308}
_MOST_REDIRECTS: Final = 5
_PASSING: Final = {408, 425, 429}
_SERVER: Final = 500
_CHUNK: Final = 1 << 18
_SILENCE: Final = 30.0
"""Seconds without a byte after which a server is given up."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_more: object) -> None:
        """Where to go on is decided by ``Web``."""
        return


@dataclass(frozen=True)
class Web:
    """Who may be asked: the host of an address, and further ones. A password in the address goes to its host alone."""

    home: str
    hosts: Collection[str] = ()
    seconds: float = 600.0
    silence: float = _SILENCE
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    """That names the proxies, as ``HTTPS_PROXY`` and the like."""

    def get(self, address: str, into: BinaryIO, *, most: int, beat: Callable[[int], None]) -> None:
        """Put what an address has into a file. Raises ``Absent`` and ``Outage``; a redirect is followed as allowed."""
        deadline = time.monotonic() + self.seconds
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                with self._open(address) as response:
                    self._copy(response, into, most, deadline, beat)
                    return
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in _REDIRECTS:
                        raise _refused(error.code) from None
                    address = urljoin(address, error.headers.get("Location", ""))
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Outage("The feed did not answer as it should.") from error
        raise Absent("The feed sends from one address to the next without an end.")

    def _open(self, address: str) -> http.client.HTTPResponse:
        parts, home = urlsplit(address), urlsplit(self.home)
        same = (parts.scheme, parts.hostname, parts.port) == (home.scheme, home.hostname, home.port)
        if parts.scheme not in ("http", "https") or (home.scheme == "https" and parts.scheme != "https"):
            raise Absent("The feed sends to an address that is not https.")
        if not same and parts.netloc.rpartition("@")[2] not in self.hosts:
            raise Absent("The feed sends to another host, which PACKHOUSE_NUGET_HOSTS does not name.")
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        request = urllib.request.Request(bare, headers={"User-Agent": "packhouse"})  # noqa: S310 (the scheme was looked at)
        if same and home.username is not None:
            pair = f"{unquote(home.username)}:{unquote(home.password or '')}"
            request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
        return self._opener(parts.hostname or "").open(request, timeout=self.silence)

    def _opener(self, host: str) -> urllib.request.OpenerDirector:
        """What asks a host: through the proxy that the environment has for it, or none."""
        seen = {name.lower(): value for name, value in self.environment.items() if value}
        proxies = {scheme: proxy for scheme in ("http", "https") if (proxy := seen.get(f"{scheme}_proxy"))}
        if any(_is_in(host, domain) for domain in seen.get("no_proxy", "").split(",")):
            proxies = {}
        return urllib.request.build_opener(_NoRedirects(), urllib.request.ProxyHandler(proxies))

    def _copy(
        self,
        response: http.client.HTTPResponse,
        into: BinaryIO,
        most: int,
        deadline: float,
        beat: Callable[[int], None],
    ) -> None:
        done, announced = 0, response.headers.get("Content-Length")
        while chunk := response.read1(_CHUNK):
            done += len(chunk)
            if done > most:
                raise Absent(f"It is larger than {most} bytes.")
            if time.monotonic() > deadline:
                raise Outage(f"Fetching it took longer than {self.seconds:.0f} s.")
            try:
                into.write(chunk)
            except OSError as error:
                raise Outage("The worker's cache folder cannot be written.") from error
            beat(len(chunk))
        if announced is not None and announced.isdecimal() and int(announced) != done:
            raise Outage("The feed broke off before the end.")


def _is_in(host: str, domain: str) -> bool:
    """Whether a host is meant by an entry of ``NO_PROXY``: it, a domain that it belongs to, or all."""
    domain = domain.strip().lower().lstrip(".")
    return domain == "*" or (bool(domain) and f".{host.lower()}".endswith(f".{domain}"))


def _refused(status: int) -> Absent | Outage:
    if status >= _SERVER or status in _PASSING:
        return Outage(f"The feed answered with HTTP status {status}.")
    if status in (http.client.NOT_FOUND, http.client.GONE):
        return Absent("There is no such package.")
    return Absent(f"The feed refused it with HTTP status {status}.")
