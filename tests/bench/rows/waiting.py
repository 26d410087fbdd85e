"""What the server spends on workers that wait, as their number grows."""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Generator
from typing import Any, Final, cast

from bench.farming import Spent
from bench.growing import Growth, grown
from bench.measure import Measured
from bench.registry import Bench, row
from redis import Redis
from redis.connection import Connection
from support.server import Server

from packhouse.worker.intake.reader import GROUP
from packhouse.worker.ledger import connect

READERS: Final = (1, 10, 100, 1_000)
EVENTS: Final = 50
POLLERS: Final = (100, 300, 1_000)
POLLED: Final = 4.0
"""Seconds of polling for one figure."""


@contextlib.contextmanager
def clients(bench: Bench) -> Generator[tuple[Server, Redis, list[Connection]]]:
    """A server of its own, one client to ask it, and connections to be filled in."""
    server = Server(bench.folder)
    server.start()
    connections: list[Connection] = []
    try:
        with connect(server.url) as redis:
            yield server, redis, connections
    finally:
        for connection in connections:
            connection.disconnect()
        server.stop()


def so_many(connections: list[Connection], count: int, server: Server) -> list[Connection]:
    """See that there are so many connections. Returns those that are new."""
    while len(connections) > count:
        connections.pop().disconnect()
    fresh: list[Connection] = []
    while len(connections) < count:
        connections.append(Connection(port=server.port))
        connections[-1].connect()
        fresh.append(connections[-1])
    return fresh


@row("grow-readers", "the server's CPU for publishing an event, with 1 to 1,000 workers that wait for one", limit="1")
def readers(bench: Bench) -> Measured:
    with clients(bench) as (server, redis, waiting):
        redis.xgroup_create("runs", GROUP, id="0", mkstream=True)

        def wait(connection: Connection) -> None:
            connection.send_command("XREADGROUP", "GROUP", GROUP, id(connection), "BLOCK", 0, "STREAMS", "runs", ">")

        def cost(count: int) -> float:
            """Microseconds for each event; whoever got it waits again."""
            for connection in so_many(waiting, count, server):
                wait(connection)
            time.sleep(0.2)
            before = Spent.so_far(redis, [])
            for _ in range(EVENTS):
                redis.xadd("runs", {"event": "x" * 1000})
                for connection in waiting:
                    if connection.can_read(0):
                        connection.read_response()
                        wait(connection)
                        break
            return (Spent.so_far(redis, []) - before).server / EVENTS * 1e6

        growth = grown(READERS, bench.count, "microseconds", cost)
    costs = growth.medians
    slope = (costs[-1] - costs[0]) / (READERS[-1] - READERS[0])
    return Growth(growth.sizes, growth.turns, growth.unit, {"server_us_per_reader": slope}).flat()


@row(
    "grow-polls",
    "the server's CPU for a request, with 100 to 1,000 workers that ask each second",
    limit="less",
)
def polls(bench: Bench) -> Measured:
    with clients(bench) as (server, redis, polling):
        time.sleep(1)
        before = Spent.so_far(redis, [])
        time.sleep(POLLED)
        nothing = (Spent.so_far(redis, []) - before).server / POLLED

        def cost(count: int) -> float:
            """Microseconds for each request, over what the server spends on nothing."""
            so_many(polling, 0, server)
            ready = selectors.DefaultSelector()
            for connection in so_many(polling, count, server):
                ready.register(cast("Any", connection)._sock, selectors.EVENT_READ, connection)
                connection.send_command("BRPOP", "queue", 1)
                time.sleep(1 / count)
            asked, before, began = 0, Spent.so_far(redis, []), time.perf_counter()
            while time.perf_counter() - began < POLLED:
                for key, _ in ready.select(0.1):
                    key.data.read_response()
                    key.data.send_command("BRPOP", "queue", 1)
                    asked += 1
            spent, seconds = Spent.so_far(redis, []) - before, time.perf_counter() - began
            ready.close()
            return (spent.server - nothing * seconds) / asked * 1e6

        growth = grown(POLLERS, bench.count, "microseconds", cost)
    return Growth(growth.sizes, growth.turns, growth.unit).flat()
