"""The Celery application: the only place that configures Celery.

Celery is how work is spread over processes and watched; what is true is in the ledger. So messages are acknowledged
when they are taken, results are not kept, and nothing here retries.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from celery import Celery, signals
from kombu import Exchange, Producer, Queue
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from packhouse.schemas.errors import PackhouseError
from packhouse.schemas.keys import Keys
from packhouse.schemas.text import visible
from packhouse.worker import logs, process
from packhouse.worker.health import Health, Loop
from packhouse.worker.intake.step import Intake
from packhouse.worker.ledger import RANK_JOB, Ledger, LedgerVersionError, Wake, connect
from packhouse.worker.metrics.recorder import count_in
from packhouse.worker.metrics.step import Metrics
from packhouse.worker.packagers.registry import QUEUES, RANKING_QUEUE
from packhouse.worker.recovery import Recovery, hand_back
from packhouse.worker.settings import Settings, load
from packhouse.worker.tracing import tracer

log = logging.getLogger(__name__)

RUN_FINISHED_TASK = "packhouse.run_finished"
PACKAGE_TASK = "packhouse.package"


class PackhouseApp(Celery):
    """Celery with Packhouse's settings."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("packhouse", include=["packhouse.worker.tasks"])
        self.settings = settings
        self.conf.update(configuration(settings))
        self.steps["worker"].add(Intake)
        self.steps["worker"].add(Recovery)
        self.steps["worker"].add(Metrics)
        self.steps["worker"].add(Health)
        self.steps["consumer"].add(Loop)

    def wake(self, wakes: Iterable[Wake]) -> None:
        """Send wake-up calls, and what Flower is told of them, in one round trip."""
        try:
            with self.producer_or_acquire() as producer, producer.batch():
                for wake in wakes:
                    self._send(wake, producer)
        except KombuError as error:
            log.warning("Wake-ups could not be sent and will be, by recovery: %s", error)

    def _send(self, wake: Wake, producer: Producer) -> None:
        self.send_task(
            RUN_FINISHED_TASK if wake.job == RANK_JOB else PACKAGE_TASK,
            args=[wake.run] if wake.job == RANK_JOB else [wake.run, wake.job],
            argsrepr=visible(wake.title),
            kwargsrepr="",
            queue=wake.queue,
            task_id=f"{wake.run}.{wake.job}.{wake.number}",
            ignore_result=True,
            producer=producer,
        )


def configuration(settings: Settings) -> dict[str, Any]:
    """What Celery is told."""
    return {
        "broker_url": settings.redis_url,
        "broker_transport_options": {
            # What a worker has taken and not acknowledged is not written down on the server: recovery brings it back.
            "ack_emulation": False,
            "global_keyprefix": f"{Keys(settings.namespace).prefix}celery:",
            # Wake-ups have no priorities: one list for a queue, whose length recovery's scripts read.
            "priority_steps": [0],
            "health_check_interval": 25,
            "socket_keepalive": True,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A server that refuses for a while (read-only in a failover, out of memory) ends no worker either.
        "broker_channel_error_retry": True,
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        "task_default_queue": RANKING_QUEUE,
        "task_create_missing_queues": True,
        "task_acks_late": False,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_send_sent_event": True,
        "task_track_started": True,
        "worker_send_task_events": True,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "worker_soft_shutdown_timeout": settings.soft_shutdown_seconds,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "enable_utc": True,
    }


@signals.celeryd_init.connect
def _on_worker_init(sender: str = "", **_: Any) -> None:
    process.become_worker(str(sender))
    settings = app.settings
    try:
        tracer(settings.traces)
    except PackhouseError as error:
        _end(error)
    _check_ledger(settings)
    if settings.metrics_port is not None:
        try:
            count_in(settings.run_dir, process.identity())
        except OSError as error:
            log.warning("There will be no metrics: the run directory cannot be used (%s)", error)


def _check_ledger(settings: Settings) -> None:
    """Without a server, the worker starts and waits for one; recovery checks again."""
    with contextlib.closing(connect(settings.redis_url, patient=False, timeout=5.0)) as redis:
        try:
            Ledger(redis, settings).check_version()
        except LedgerVersionError as error:
            _end(error.explained)
        except RedisError as error:
            log.warning("The ledger cannot be asked for its version yet: %s", error)


@signals.worker_shutdown.connect
def _on_worker_shutdown(**_: Any) -> None:
    hand_back(process.context())


@signals.setup_logging.connect
def _on_setup_logging(loglevel: int | str = 0, **_: Any) -> None:
    logs.set_up(app.settings.log_format, loglevel, process.identity().name)


@signals.worker_process_shutdown.connect
def _on_process_shutdown(**_: Any) -> None:
    tracer(app.settings.traces).flush()


signals.worker_process_init.connect(process.die_with_parent)
signals.worker_process_init.connect(process.keep_ready)


def _load() -> Settings:
    """Wrong settings end the process: Celery would show them as a defect of this module."""
    try:
        return load()
    except PackhouseError as error:
        _end(error)


def _end(error: PackhouseError) -> NoReturn:
    process.tell(error)
    sys.exit(process.WRONG_SETTINGS)


app = PackhouseApp(_load())
