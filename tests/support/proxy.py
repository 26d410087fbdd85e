"""A relay between workers and their server that can cut connections, and keep an answer to itself."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

_CHUNK = 1 << 16
_SCRIPT = b"EVALSHA"


class Proxy:
    """Listens on loopback and passes everything on to a port there."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._servers: set[socket.socket] = set()
        self._doomed: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._to_swallow = 0
        self._to_cut = False
        self._stopped = False
        self.swallowed = 0
        """Answers to scripts that were kept back, their connections cut instead."""
        self._thread = threading.Thread(target=self._relay, name="proxy", daemon=True)

    def start(self) -> None:
        """Begin to relay."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        """Close everything."""
        self._stopped = True
        self._thread.join(10)

    def cut(self) -> None:
        """Cut every connection at this moment, wherever it is."""
        with self._lock:
            self._to_cut = True

    def swallow(self, count: int) -> None:
        """Of so many scripts the server shall see the call, and the caller no answer but a cut connection."""
        with self._lock:
            self._to_swallow = count

    def _relay(self) -> None:
        while not self._stopped:
            ready = self._selector.select(0.05)
            with self._lock:
                cut, self._to_cut = self._to_cut, False
            if cut:
                for one in list(self._servers):
                    self._close(one)
                continue
            for key, _ in ready:
                one = key.fileobj
                assert isinstance(one, socket.socket)
                if one is self._listener:
                    self._accept()
                elif one in self._peers:
                    self._pass_on(one)
        for one in list(self._servers):
            self._close(one)
        self._listener.close()
        self._selector.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.settimeout(30)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)
        self._servers.add(server)

    def _pass_on(self, one: socket.socket) -> None:
        other = self._peers[one]
        try:
            data = one.recv(_CHUNK)
            if not data:
                raise ConnectionResetError
            if one in self._doomed:
                self.swallowed += 1
                raise ConnectionResetError
            if one not in self._servers and _SCRIPT in data:
                with self._lock:
                    doomed = self._to_swallow > 0
                    self._to_swallow -= doomed
                if doomed:
                    self._doomed.add(other)
            other.sendall(data)
        except OSError:
            self._close(one)

    def _close(self, one: socket.socket) -> None:
        for each in (one, self._peers.get(one, one)):
            if each in self._peers:
                del self._peers[each]
                with contextlib.suppress(KeyError):
                    self._selector.unregister(each)
                self._servers.discard(each)
                self._doomed.discard(each)
                each.close()
