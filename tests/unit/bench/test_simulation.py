"""The simulated stack: effects of the policies alone, on a virtual clock."""

from __future__ import annotations

from dataclasses import replace

import fakeredis
import msgspec
import pytest
import redis

from bench.results import Machine
from bench.simulation.__main__ import scaled_gateways
from bench.simulation.clock import Station, VirtualClock
from bench.simulation.costs import Costs
from bench.simulation.report import Compared, Scaled, SimulationResults, simulation_report
from bench.simulation.scenes import LARGE, SMALL, Figures, Scene, SimulatedStack, simulate
from bench.stored_runs import decoded, reported

COSTS = Costs(
    call_s=0.020, row_s=0.001, batch_s=0.002, gateway_s=0.0002, queue_s=0.0001, path_s=0.002, chunk_s=0.01
)
FULL_MS = 36.0 + 2.0
LONE_MS = 21.0 + 2.0 + 2.0 + 0.3


@pytest.fixture
def client() -> redis.Redis:
    return fakeredis.FakeRedis()


def test_actions_run_in_the_order_of_their_time_then_of_their_planning() -> None:
    clock, seen = VirtualClock(), list[str]()
    for delay_s, name in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (9.0, "never")):
        clock.after(delay_s, lambda name=name: seen.append(name))  # type: ignore[misc]
    clock.run(5.0)
    assert (seen, clock.now_s) == (["a", "b", "c"], 5.0)


def test_a_station_does_one_thing_at_a_time() -> None:
    clock, ended_s = VirtualClock(), list[float]()
    station = Station(clock)
    for _ in range(3):
        station.serve(1.5, lambda: ended_s.append(clock.now_s))
    clock.run(10.0)
    assert (ended_s, station.busy_s) == ([1.5, 3.0, 4.5], 4.5)


def test_a_lone_request_takes_the_sum_of_its_costs_and_waits_for_nothing(client: redis.Redis) -> None:
    seen = simulate(Scene("lone", 1, 2.0, connections=1), COSTS, client)
    assert seen.batch_rows == 1
    assert seen.p50_ms == seen.p99_ms == pytest.approx(LONE_MS, abs=0.1)


def test_batches_fill_under_load_and_two_workers_answer_twice_as_many(client: redis.Redis) -> None:
    one = simulate(Scene("full", 1, 2.0, connections=128), COSTS, client)
    two = simulate(Scene("full", 2, 2.0, connections=128), COSTS, client)
    assert one.answers_per_s == pytest.approx(16_000 / FULL_MS, rel=0.03)
    assert one.batch_rows == pytest.approx(16, rel=0.03)
    assert two.answers_per_s == pytest.approx(2 * 16_000 / FULL_MS, rel=0.05)


def test_gateways_that_limit_scale_until_the_queue_is_full(client: redis.Redis) -> None:
    one, two, many = (scaled_gateways(n, COSTS, 1.0, client) for n in (1, 2, 8))
    assert one.figures.answers_per_s == pytest.approx(1 / COSTS.gateway_s, rel=0.05)
    assert two.figures.answers_per_s == pytest.approx(2 / COSTS.gateway_s, rel=0.15)
    assert many.figures.answers_per_s == pytest.approx(1 / COSTS.queue_s, rel=0.05)
    assert [one.gateway_busy, many.queue_busy] == pytest.approx([1.0, 1.0], abs=0.02)


def test_an_overload_is_refused_and_who_is_admitted_is_answered_in_time(client: redis.Redis) -> None:
    seen = simulate(Scene("overload", 1, 4.0, rate=2 * COSTS.capacity), COSTS, client)
    assert seen.admitted is not None
    assert seen.p99_ms is not None
    assert 0.5 < seen.admitted < 0.9
    assert seen.p99_ms < 2000
    assert seen.answers_per_s == pytest.approx(COSTS.capacity, rel=0.05)


def test_a_job_keeps_its_share_of_the_engine_under_full_online_load(client: redis.Redis) -> None:
    rate = 1.5 * COSTS.capacity
    share = simulate(Scene("both", 1, 6.0, rate=rate, beside_a_job=True), COSTS, client).job_share
    assert share is not None
    assert 0.1 < share < 0.5  # for the last seconds the job is alone


def test_a_small_job_does_not_wait_for_a_large_job(client: redis.Redis) -> None:
    seen = simulate(Scene("jobs", 1, 0.0), COSTS, client)
    assert seen.small_s is not None
    assert seen.large_s is not None
    assert seen.small_s < 0.5 * seen.large_s
    in_full_slices_s = (LARGE + SMALL) / (64 / 0.084)
    assert in_full_slices_s < seen.large_s < 1.25 * in_full_slices_s


def test_the_same_scene_comes_to_the_same_figures(client: redis.Redis) -> None:
    scene = Scene("open", 2, 2.0, rate=400, seed=3)
    assert simulate(scene, COSTS, client) == simulate(scene, COSTS, client)
    assert simulate(scene, COSTS, client) != simulate(replace(scene, seed=4), COSTS, client)


def test_a_queue_that_is_full_holds_everybody_up(client: redis.Redis) -> None:
    slow = replace(COSTS, queue_s=0.005)
    stack = SimulatedStack(slow, workers=4, gateways=2, client=client)
    seen = simulate(Scene("full", 4, 2.0, connections=128, gateways=2), slow, client)
    assert len(stack.gateways) == 2
    assert seen.answers_per_s == pytest.approx(200, rel=0.05)


# -- the report --------------------------------------------------------------------------------------------

SCENE = Scene("16 connections", 1, 3.0, connections=16)
MEASURED = (Figures(100.0, 8.0), Figures(110.0, 8.0), Figures(90.0, 8.0))
COMPARED = Compared(SCENE, MEASURED, Figures(105.0, 6.0))


def test_errors_are_to_the_median_of_what_was_measured() -> None:
    assert COMPARED.shown("answers_per_s") == "100 (90-110) +5%"
    assert COMPARED.error("batch_rows") == pytest.approx(-0.25)
    assert COMPARED.shown("p50_ms") == "-"


def test_a_kept_simulation_is_reported_like_a_new_simulation() -> None:
    results = SimulationResults(
        command="python -m bench.simulation",
        began_at="2026-01-02T03:04:05+00:00",
        took_s=60.0,
        machine=Machine(2, "a processor", "Linux 6", 0.5, {"Python": "3.11"}),
        rounds=3,
        costs=COSTS,
        compared=(COMPARED,),
        scaled=(Scaled(replace(SCENE, workers=8), Figures(800.0, admitted=1.0), 0.5, 0.25),),
    )
    text = simulation_report(results)
    assert reported(decoded(msgspec.json.encode(results))) == text
    assert "answers/s: off by 5% (median of 1), 5% at most." in text
    assert "50%" in text.splitlines()[-1]
