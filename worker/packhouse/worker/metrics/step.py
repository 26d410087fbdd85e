"""The bootstep that lets Prometheus ask."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from packhouse.schemas.keys import Keys
from packhouse.worker import process
from packhouse.worker.ledger import connect
from packhouse.worker.metrics.ledger import LedgerCollector
from packhouse.worker.metrics.recorder import recorder
from packhouse.worker.step import ThreadStep

log = logging.getLogger(__name__)

_EVERY: Final = 1.0
_LIVE: Final = re.compile(r"gauge_live\w*_(\d+)\.db")


class Metrics(ThreadStep):
    """Serves ``/metrics`` from the worker's main process, where ``PACKHOUSE_METRICS_PORT`` is set."""

    title = "metrics"

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._slots = int(getattr(parent, "concurrency", 0) or 0)

    def run(self, stop: threading.Event) -> None:
        """Serve until the worker stops; without a port, only wait."""
        context = process.context()
        settings, counting = context.settings, recorder()
        if settings.metrics_port is None or counting.folder is None:
            self._wait(stop, None)
            return
        from prometheus_client import CollectorRegistry, start_http_server
        from prometheus_client.multiprocess import MultiProcessCollector

        counting.slots(self._slots)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(counting.folder))
        redis = connect(settings.redis_url, patient=False, timeout=5.0)
        registry.register(LedgerCollector(redis, Keys(settings.namespace), context.identity.name, version("packhouse")))
        try:
            server, thread = start_http_server(settings.metrics_port, settings.metrics_address, registry)
        except OSError as error:
            log.warning(
                "Nobody can ask this worker for metrics: it cannot listen on %s port %d (%s). "
                "Give each worker of a host a PACKHOUSE_METRICS_PORT of its own",
                settings.metrics_address, settings.metrics_port, error,
            )  # fmt: skip
            self._wait(stop, counting.folder)
            return
        log.info("Metrics are served on http://%s:%d/metrics", settings.metrics_address, server.server_port)
        self._wait(stop, counting.folder)
        server.shutdown()
        server.server_close()
        thread.join()
        redis.close()

    def _wait(self, stop: threading.Event, folder: Path | None) -> None:
        while not stop.wait(_EVERY):
            self.turn()
            if folder is not None:
                _forget_the_dead(folder)
        if folder is not None:
            _forget_the_dead(folder)


def _forget_the_dead(folder: Path) -> None:
    """A process that died at work is not busy any more."""
    from prometheus_client.multiprocess import mark_process_dead

    for file in folder.glob("gauge_live*.db"):
        found = _LIVE.fullmatch(file.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            with contextlib.suppress(OSError):
                mark_process_dead(int(found[1]), str(folder))
