"""Loads on a stack with a number of gateways and workers, and their simulated figures. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import redis

from bench.arrivals import Call, Offer
from bench.outcomes import outcome_of
from bench.samples import Measured, Sample, measure
from bench.simulation.clock import Station, VirtualClock
from bench.simulation.costs import Costs
from bench.simulation.gateway import Floor, SimulatedGateway
from bench.simulation.jobs import SimulatedJob, SimulatedJobs
from bench.simulation.lane import Stream
from bench.simulation.worker import SimulatedWorker
from worker.online.batching import Delivery

WARM_UP_S = 1.0
WAIT_S = 2
LARGE, SMALL = 900, 150
"""Rows of the two jobs that show the order of chunks; the small job starts `SECOND_S` after the large job."""
SECOND_S = 0.5
ENDLESS_ROWS = 200_000
BEAT_S = 2.5
"""Time after which a worker's heartbeat contains all its work."""


@dataclass(frozen=True)
class Scene:
    """A load on a number of workers: a closed loop, an open loop, or a large and a small job together."""

    name: str
    workers: int
    seconds: float
    connections: int = 0  # connections of a closed loop
    rate: float = 0.0  # requests a second of an open loop
    beside_a_job: bool = False
    gateways: int = 1
    seed: int = 1

    @property
    def offer(self) -> Offer:
        return Offer(self.rate, self.seconds, wait_s=WAIT_S, seed=self.seed)


@dataclass(frozen=True)
class Figures:
    """Figures of a load; None: not applicable."""

    answers_per_s: float | None = None
    batch_rows: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    admitted: float | None = None  # share of requests
    job_share: float | None = None  # the job's share of engine time
    large_s: float | None = None  # time of each job
    small_s: float | None = None


def of_closed(seen: Measured, batch_rows: float) -> Figures:
    return Figures(seen.rps, batch_rows, seen.p50_ms, seen.p99_ms)


def of_open(calls: Sequence[Call], offer: Offer, batch_rows: float, job_share: float | None) -> Figures:
    seen = outcome_of(calls, offer)
    admitted = seen.new_admitted / max(1, seen.new)
    return Figures(seen.good_per_s, batch_rows, seen.p50_ms, seen.p99_ms, admitted, job_share)


class SimulatedStack:
    """Gateways, queue and workers on a shared clock; `client`: see SimulatedJobs."""

    def __init__(self, costs: Costs, *, workers: int, gateways: int, client: redis.Redis) -> None:
        self.clock = VirtualClock()
        self.queue = Station(self.clock)
        stream = Stream(self.clock)
        self.workers = [SimulatedWorker(self.clock, stream, costs, self._answered) for _ in range(workers)]
        self._floor = Floor(
            self.clock, costs, self.queue, stream, holders=workers, rows_per_s=self._rows_per_s
        )
        self.gateways = self._floor.gateways
        self.gateways += [SimulatedGateway(f"gateway-{number}", self._floor) for number in range(gateways)]
        self._by_name = {gateway.name: gateway for gateway in self.gateways}
        self._next = 0
        self.jobs = SimulatedJobs(self.clock, costs, self.workers, client)

    def ask(self, ended: Callable[[int, int | None], None], gateway: SimulatedGateway | None = None) -> None:
        """Send a request to a gateway, by default to the next in turn."""
        if gateway is None:
            gateway = self.gateways[self._next % len(self.gateways)]
            self._next += 1
        gateway.ask(WAIT_S, ended)

    @property
    def batch_rows(self) -> float:
        """Mean rows of all batches so far."""
        return sum(w.batch_rows for w in self.workers) / max(1, sum(w.batches for w in self.workers))

    @property
    def job_share(self) -> float:
        online_s = sum(worker.share.online_s for worker in self.workers)
        offline_s = sum(worker.share.offline_s for worker in self.workers)
        return offline_s / max(online_s + offline_s, 1e-9)

    def _rows_per_s(self) -> float:
        return sum(worker.online.rows_per_s for worker in self.workers)

    def _answered(self, batch: Sequence[Delivery]) -> None:
        """Deliver a batch's replies, which are sent in a single command and arrive together."""
        costs, clock = self._floor.costs, self.clock

        def arrived() -> None:
            for delivery in batch:
                self._by_name[delivery.entry.gateway].answered(delivery.entry.id)

        self.queue.serve(len(batch) * costs.queue_s / 2, lambda: clock.after(costs.path_s / 2, arrived))


def simulate(scene: Scene, costs: Costs, client: redis.Redis) -> Figures:
    """Run the scene in virtual time. `client`: an empty Redis, which is emptied again."""
    client.flushdb()
    stack = SimulatedStack(costs, workers=scene.workers, gateways=scene.gateways, client=client)
    if scene.connections:
        return closed_loop(stack, scene)
    if scene.rate:
        return open_loop(stack, scene)
    return _two_jobs(stack)


def closed_loop(stack: SimulatedStack, scene: Scene) -> Figures:
    """Each connection sends its next request after an answer. It belongs to a gateway, by chance, as with
    SO_REUSEPORT."""
    samples: list[Sample] = []
    chance = Random(scene.seed)

    def send(gateway: SimulatedGateway) -> None:
        begun_s = stack.clock.now_s

        def ended(status: int, _: int | None) -> None:
            took_s = stack.clock.now_s - begun_s
            samples.append(Sample(round(begun_s * 1e6), status, round(took_s * 1e6)))
            send(gateway)

        stack.ask(ended, gateway)

    for _ in range(scene.connections):
        send(chance.choice(stack.gateways))
    stack.clock.run(WARM_UP_S + scene.seconds)
    seen = measure(samples, connections=scene.connections, warm_up_s=WARM_UP_S, seconds=scene.seconds)
    return of_closed(seen, stack.batch_rows)


def open_loop(stack: SimulatedStack, scene: Scene) -> Figures:
    """New requests at the scene's rate, independently of earlier answers."""
    if scene.beside_a_job:
        stack.jobs.submit(ENDLESS_ROWS)
    calls: list[Call] = []

    def send(due_s: float) -> None:
        def ended(status: int, retry_after_s: int | None) -> None:
            calls.append(Call(due_s, stack.clock.now_s, status, retry_after_s))

        stack.ask(ended)

    for due_s in scene.offer.arrivals():
        stack.clock.after(due_s, lambda due_s=due_s: send(due_s))  # type: ignore[misc]
    stack.clock.run(scene.seconds + BEAT_S)
    share = stack.job_share if scene.beside_a_job else None
    return of_open(calls, scene.offer, stack.batch_rows, share)


def _two_jobs(stack: SimulatedStack) -> Figures:
    jobs: list[SimulatedJob] = []
    for at_s, rows in ((0.0, LARGE), (SECOND_S, SMALL)):
        stack.clock.after(at_s, lambda rows=rows: jobs.append(stack.jobs.submit(rows)))  # type: ignore[misc]
    stack.clock.run(60.0)
    large, small = jobs
    return Figures(large_s=large.took_s, small_s=small.took_s)
