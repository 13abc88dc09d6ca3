"""`python -m bench.simulation`: the policies on a virtual clock, compared with stacks of 1 and 2 workers.

A model of known speed runs on both stacks. The other costs are calibrated with 1 worker, by 1 and by 64
connections and by single-row jobs. Every other load is simulated and measured. Larger numbers of workers are
only simulated.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from statistics import median

import redis
import structlog

from bench import stored_runs
from bench.commands import ended, say
from bench.machine import Began
from bench.paced import PacedStack, serving_paced
from bench.queues import bare_queue
from bench.simulation.costs import Costs
from bench.simulation.measuring import calibrated, figures_of
from bench.simulation.report import Compared, Scaled, SimulationResults
from bench.simulation.scenes import (
    WARM_UP_S,
    Figures,
    Scene,
    SimulatedStack,
    closed_loop,
    open_loop,
    simulate,
)

CALL_S, ROW_S = 0.040, 0.002
LOADED = 0.8
"""Load of the simulated-only stacks, as a fraction of the workers' capacity."""
_CONNECTIONS = 64
"""Connections for each gateway, if gateways limit."""


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    # the queue of the simulation never fails
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    command = f"python -m bench.simulation {' '.join(words)}".strip()
    return ended(
        "bench.simulation", lambda: stored_runs.report_and_keep(_measure(given, command), given.json)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of each load (3)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of all loads on both stacks (1)")
    parser.add_argument("--scaled", default="1,2,4,8,16,32,64,128", help="a,b: workers, only simulated")
    parser.add_argument(
        "--gateways",
        default="1,2,4,8,16",
        help="a,b: gateways that limit, only simulated",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _measure(given: argparse.Namespace, command: str) -> SimulationResults:
    began = Began(command)
    with ExitStack() as held:
        pace = {"pace_ms": ROW_S * 1000, "call_ms": CALL_S * 1000}
        stacks = {n: held.enter_context(serving_paced(**pace, workers=n)) for n in (1, 2)}  # type: ignore[arg-type]
        client = held.enter_context(bare_queue())
        costs = _calibrated(stacks[1], given.rounds, given.seconds)
        scenes = list(compared_scenes(costs, given.seconds))
        measured = _measured(stacks, scenes, given.rounds)
        compared = [Compared(one, tuple(measured[one]), simulate(one, costs, client)) for one in scenes]
        scaled = [_scaled(int(n), costs, given.seconds, client) for n in given.scaled.split(",") if n]
        by_gateways = [
            scaled_gateways(int(n), costs, given.seconds, client) for n in given.gateways.split(",") if n
        ]
    return SimulationResults(
        **began.facts(),
        rounds=given.rounds,
        costs=costs,
        compared=tuple(compared),
        scaled=tuple(scaled),
        by_gateways=tuple(by_gateways),
    )


def compared_scenes(costs: Costs, seconds: float) -> Iterator[Scene]:
    """The scenes that are measured and simulated, for 1 and for 2 workers."""
    for workers in (1, 2):
        rate = workers * costs.capacity
        yield Scene("16 connections", workers, seconds, connections=16)
        yield Scene("64 connections", workers, seconds, connections=64)
        yield Scene("open, 30%", workers, seconds, rate=0.3 * rate)
        yield Scene("open, 80%", workers, seconds, rate=0.8 * rate)
        yield Scene("open, 150%", workers, seconds, rate=1.5 * rate)
        yield Scene("open, 30%, beside a job", workers, seconds, rate=0.3 * rate, beside_a_job=True)
        yield Scene("a small job behind a large one", workers, seconds)


def _calibrated(stack: PacedStack, rounds: int, seconds: float) -> Costs:
    """The median of each cost."""
    found = [calibrated(stack, CALL_S, ROW_S, seconds) for _ in range(rounds)]
    medians = {one.name: median(getattr(costs, one.name) for costs in found) for one in fields(Costs)}
    return replace(found[0], **{name: value for name, value in medians.items() if name.endswith("_s")})


def _measured(
    stacks: Mapping[int, PacedStack], scenes: Sequence[Scene], rounds: int
) -> dict[Scene, list[Figures]]:
    """Run A B C, then C B A, so that the order alternates."""
    found: dict[Scene, list[Figures]] = {scene: [] for scene in scenes}
    for number in range(rounds):
        for scene in scenes if number % 2 == 0 else scenes[::-1]:
            found[scene].append(figures_of(stacks[scene.workers], scene))
            say(f"round {number + 1}/{rounds}, {scene.workers} workers, {scene.name}")
    return found


def _scaled(workers: int, costs: Costs, seconds: float, client: redis.Redis) -> Scaled:
    """`workers` workers at load `LOADED`, with the number of gateways that have the same load."""
    client.flushdb()
    rate = LOADED * workers * costs.capacity
    gateways = math.ceil(rate * costs.gateway_s / LOADED)
    scene = Scene(f"open, {LOADED:.0%}", workers, seconds, rate=rate, gateways=gateways)
    stack = SimulatedStack(costs, workers=workers, gateways=gateways, client=client)
    return _with_busy(stack, scene, open_loop(stack, scene), seconds)


def scaled_gateways(gateways: int, costs: Costs, seconds: float, client: redis.Redis) -> Scaled:
    """Closed loops on gateways, with a model whose calls cost nothing and enough workers."""
    client.flushdb()
    free = replace(costs, call_s=0.0, row_s=1e-6)
    workers = max(1, math.ceil(2 * gateways * free.batch_s / free.gateway_s / free.max_rows))
    connections = _CONNECTIONS * gateways
    scene = Scene(f"{connections} connections", workers, seconds, connections=connections, gateways=gateways)
    stack = SimulatedStack(free, workers=workers, gateways=gateways, client=client)
    return _with_busy(stack, scene, closed_loop(stack, scene), WARM_UP_S + seconds)


def _with_busy(stack: SimulatedStack, scene: Scene, found: Figures, seconds: float) -> Scaled:
    busy_s = sum(gateway.loop.busy_s for gateway in stack.gateways) / len(stack.gateways)
    return Scaled(scene, found, busy_s / seconds, stack.queue.busy_s / seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
