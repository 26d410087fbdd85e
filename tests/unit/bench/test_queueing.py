"""The simulation of queues against what is known of queues."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from bench.queueing import Line, Pause, Process, Simulation, Station

CUSTOMERS = 60_000


def waited(servers: int, rate: float, seconds: Callable[[random.Random], float]) -> tuple[float, Simulation, Station]:
    """Mean time from coming to leaving of customers that come at random."""
    simulation, dice = Simulation(), random.Random(7)
    station = Station(simulation, servers)
    taken: list[float] = []

    def customer() -> Process:
        came = simulation.now
        yield station.work(seconds(dice))
        taken.append(simulation.now - came)

    def source() -> Process:
        for _ in range(CUSTOMERS):
            yield Pause(simulation, dice.expovariate(rate))
            simulation.start(customer())

    simulation.start(source())
    simulation.run(lambda: False)
    assert len(taken) == CUSTOMERS == station.arrived == station.left
    return sum(taken) / CUSTOMERS, simulation, station


def test_one_server_and_constant_service_wait_as_pollaczek_and_khinchine_have_it() -> None:
    mean, _, _ = waited(1, 0.8, lambda _: 1.0)
    assert mean == pytest.approx(1 + 0.8 / (2 * (1 - 0.8)), rel=0.05)


def test_one_server_and_random_service_take_the_inverse_of_what_is_left_of_it() -> None:
    mean, _, _ = waited(1, 0.7, lambda dice: dice.expovariate(1))
    assert mean == pytest.approx(1 / (1 - 0.7), rel=0.06)


def test_two_servers_wait_as_erlang_has_it() -> None:
    mean, _, _ = waited(2, 1.4, lambda dice: dice.expovariate(1))
    waits = 2 * 0.7**2 / (1 + 0.7)  # Erlang's C for two servers
    assert mean == pytest.approx(1 + waits / (2 - 1.4), rel=0.06)


@pytest.mark.parametrize("servers", [1, 3])
def test_what_is_used_is_the_rate_times_the_service_and_who_is_there_the_rate_times_the_stay(servers: int) -> None:
    mean, simulation, station = waited(servers, 0.6 * servers, lambda dice: dice.uniform(0, 2))
    rate = CUSTOMERS / simulation.now
    assert station.busy_seconds() / simulation.now == pytest.approx(rate * 1.0, rel=0.02)
    assert station.present_seconds() / simulation.now == pytest.approx(rate * mean, rel=1e-9)


def test_servers_that_share_a_speed_get_done_what_they_can_together() -> None:
    simulation = Simulation()
    station = Station(simulation, 2, lambda busy: 1.0 if busy == 1 else 0.6)

    def work() -> Process:
        for _ in range(1_000):
            yield station.work(0.01)

    simulation.start(work())
    simulation.start(work())
    simulation.run(lambda: False)
    assert simulation.now == pytest.approx(20 / 1.2, rel=0.01)


def test_a_line_hands_out_in_order_whoever_came_first() -> None:
    simulation, line = Simulation(), Line()
    got: list[tuple[str, int]] = []

    def taker(name: str) -> Process:
        while True:
            thing = yield line
            got.append((name, thing))
            yield Pause(simulation, 1)

    def giver() -> Process:
        for number in range(4):
            line.put(number)
        yield Pause(simulation, 0)

    simulation.start(taker("a"))
    simulation.start(taker("b"))
    simulation.start(giver())
    simulation.run(lambda: False)
    assert got == [("a", 0), ("b", 1), ("a", 2), ("b", 3)]
