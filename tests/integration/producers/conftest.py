from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis

from packhouse.schemas import FinishedRun, RunFinished
from packhouse.schemas.keys import FIELD, Keys, run_key
from packhouse.schemas.status import STATUS_EVENT, CompletedEvent, RejectedEvent

SOURCE = "farm"


class Worker:
    """Says on the status queue what a worker would say."""

    def __init__(self, redis: Redis, namespace: str) -> None:
        self.redis = redis
        self.keys = Keys(namespace)

    def say(self, kind: str, event: RunFinished, data: dict[str, Any], *, number: int = 0) -> str:
        fields = {
            "id": f"{run_key(event.run)}/{kind}/{number}",
            "source": event.source,
            "subject": event.subject,
            "type": f"packhouse.{kind}",
            "time": datetime.now(UTC),
            "data": data,
        }
        status = STATUS_EVENT.validate_python(fields)
        wire = status.model_dump_json(exclude_none=True)
        stream = self.keys.progress if kind == "package.progress" else self.keys.status
        if isinstance(status, CompletedEvent):
            self.redis.set(self.keys.final(event.run), wire)
        return self._add(stream, wire)

    def started(self, event: RunFinished, attempt: int = 1) -> str:
        data = {"package": {"type": "Zipfile", "name": "A"}, "attempt": attempt, "worker": "w1"}
        return self.say("package.started", event, data, number=attempt)

    def progress(self, event: RunFinished, done: int) -> str:
        package = {"type": "Zipfile", "name": "A"}
        data = {"package": package, "stage": "pour", "bytes_done": done, "bytes_total": 100}
        return self.say("package.progress", event, data, number=done)

    def complete(self, event: RunFinished, state: str = "succeeded") -> str:
        now = datetime.now(UTC)
        data = {
            "content_digest": event.content_digest,
            "state": state,
            "timings": {"accepted_at": now, "completed_at": now, "seconds": 0.0},
        }
        return self.say("packaging.completed", event, data)

    def refuse(self, event: RunFinished) -> str:
        error = {"code": "run_id_reused", "message": "The id is taken.", "fix": "Take another."}
        return self.reject(event, error)

    def reject(self, event: RunFinished, error: dict[str, Any]) -> str:
        status = RejectedEvent.model_validate(
            {
                "id": f"{event.id}/rejected",
                "source": event.source,
                "subject": event.subject,
                "data": {"event_id": event.id, "content_digest": event.content_digest, "error": error},
            }
        )
        return self._add(self.keys.status, status.model_dump_json(exclude_none=True))

    def noise(self, text: str) -> str:
        return self._add(self.keys.status, text)

    def _add(self, stream: str, text: str) -> str:
        entry = self.redis.xadd(stream, {FIELD: text})
        return entry.decode() if isinstance(entry, bytes) else str(entry)


@pytest.fixture
def worker(redis: Redis, namespace: str) -> Worker:
    return Worker(redis, namespace)


@pytest.fixture
def make_event() -> Callable[..., RunFinished]:
    def make(run_id: str = "run-1", top: int | None = None) -> RunFinished:
        run = FinishedRun.model_validate({"engine": {"name": "olive"}, "output_dir": "/srv/out", "top": top})
        return RunFinished.of(run, source=SOURCE, run_id=run_id)

    return make
