"""Bootsteps that run beside the pool, in a thread of the worker's main process."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from typing import Any, Final

from celery import bootsteps

_STOPS_WITHIN: Final = 10.0


class ThreadStep(bootsteps.StartStopStep):
    """Runs from the start of the pool, so that no pool process is forked off it, until the worker stops."""

    requires = ("celery.worker.components:Pool",)
    title = "step"

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()
        self.turned = time.monotonic()
        """When the thread last showed that it does not hang."""
        self._thread = threading.Thread(target=lambda: self.run(self._stop), name=self.title, daemon=True)

    @abstractmethod
    def run(self, stop: threading.Event) -> None:
        """The work, until the event is set."""

    def turn(self) -> None:
        """To be called by the thread, often: it works, or waits as it should."""
        self.turned = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self, parent: Any) -> None:  # noqa: ARG002 (Celery's signature)
        """Begin."""
        self._thread.start()

    def stop(self, parent: Any) -> None:  # noqa: ARG002 (Celery's signature)
        """Stop, and wait until it has."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_STOPS_WITHIN)

    def terminate(self, parent: Any) -> None:
        """Stop at once."""
        self.stop(parent)
