"""`python -m bench.fair_shares`: fifty owners on a queue in virtual time, with the real ledger.

Slots claim chunks through the ledger's scripts on a real server and finish them after a time proportional to
their rows. Heavy owners submit many jobs at once; each light owner submits a job later. The same work then
runs with all jobs under a single owner, so that only the order of jobs counts.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol, TypeVar

import redis

from bench.commands import ended, say
from bench.queues import bare_queue
from shared import keys
from shared.api_keys import Share, encode_share
from shared.keys import ModelKey, model_key
from shared.ledger import Claim, Ledger, NewJob, new_job_id
from shared.ledger.job_transitions import append_chunks, open_job, seal
from shared.ledger.lua_scripts import Transition, source

T = TypeVar("T")

KEY = model_key("simulated", "1.0.0")
SLOTS, ROWS_PER_S, CHUNK_ROWS, JOB_CHUNKS = 4, 1000.0, 100, 4
HEAVY_JOBS, MEDIUM_JOBS = 60, 12
LIGHT_EVERY_S = 0.5
_HOUR_MS = 3_600_000
ALONE_S = CHUNK_ROWS / ROWS_PER_S * -(-JOB_CHUNKS // SLOTS)
"""Duration of the job if it has all slots."""


class Queue(Protocol):
    """Interface of the chunk order: the ledger, or a model of it."""

    def submit(self, owner: str, chunks: Sequence[int]) -> str:
        """Add a job with all its rows, and return its id."""
        ...

    def claim(self) -> Claim | None: ...

    def commit(self, held: Claim) -> None: ...


class LedgerQueue:
    """The real ledger. `client`: connected to an empty server."""

    def __init__(self, client: redis.Redis, weights: Mapping[str, float]) -> None:
        self._client = client
        self._ledger = Ledger(client, _unrung, worker="simulated:1", lease_s=_HOUR_MS / 1000, max_attempts=3)
        for owner, weight in weights.items():
            client.hset(keys.access_shares(), owner, encode_share(Share(weight=weight)))

    def submit(self, owner: str, chunks: Sequence[int]) -> str:
        new = NewJob(id=new_job_id(), model="simulated", version="1.0.0", digest="", owner=owner)
        self._run(open_job(new, token="upload", lease_ms=_HOUR_MS))
        self._run(append_chunks(new.id, chunks, first=0, lease_ms=_HOUR_MS))
        self._run(seal(new.id, len(chunks)))
        return new.id

    def claim(self) -> Claim | None:
        return self._ledger.claim(KEY)

    def commit(self, held: Claim) -> None:
        self._ledger.commit(KEY, held, rows_succeeded=held.rows, rows_failed=0)

    def _run(self, transition: Transition[T]) -> T:
        script = self._client.register_script(source(transition.script))
        return transition.decode(script(args=transition.arguments))


def _unrung(key: ModelKey, count: int) -> None:
    """No notification: idle slots poll."""


@dataclass(frozen=True)
class Arrival:
    """Jobs that an owner submits at once."""

    at_s: float
    owner: str
    jobs: int
    weight: float


@dataclass(frozen=True)
class Figures:
    """Fairness figures of a run."""

    jain: float  # Jain's index of rows divided by weight, for heavy and medium owners while all had work
    most_waits: float  # longest time of a light owner's job, divided by its time alone
    most_unfairness: float  # … divided by its time alone and by the number of competing shares
    took_s: float


def arrivals(owners: int, *, weighted: bool = False) -> list[Arrival]:
    """A tenth of the owners is heavy, three tenths are medium, and the others are light."""
    heavy, medium = owners // 10, 3 * owners // 10
    found = []
    for number in range(owners):
        weight = float(1 + number % 3) if weighted else 1.0
        jobs = HEAVY_JOBS if number < heavy else MEDIUM_JOBS if number < heavy + medium else 1
        later = max(0, number - heavy - medium + 1)
        found.append(Arrival(later * LIGHT_EVERY_S, f"owner-{number:02d}", jobs, weight))
    return found


@dataclass
class _Job:
    owner: str
    begun_s: float
    left: int = JOB_CHUNKS
    ended_s: float = 0.0

    @property
    def took_s(self) -> float:
        return self.ended_s - self.begun_s


class Simulation:
    """Runs arrivals through a queue until it is empty."""

    def __init__(self, queue: Queue, arrived: Sequence[Arrival], owner_of: Callable[[str], str]) -> None:
        self._queue = queue
        self._arrived = arrived
        self._owner_of = owner_of
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._idle = SLOTS
        self.now_s = 0.0
        self.jobs: dict[str, _Job] = {}
        self.served: dict[str, list[float]] = defaultdict(list)
        """End times of the chunks of each owner."""

    def run(self) -> None:
        for arrival in self._arrived:
            self._at(arrival.at_s, lambda arrival=arrival: self._arrive(arrival))  # type: ignore[misc]
        while self._events:
            self.now_s, _, action = heapq.heappop(self._events)
            action()

    def _at(self, at_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), action))

    def _arrive(self, arrival: Arrival) -> None:
        for _ in range(arrival.jobs):
            job_id = self._queue.submit(self._owner_of(arrival.owner), [CHUNK_ROWS] * JOB_CHUNKS)
            self.jobs[job_id] = _Job(arrival.owner, self.now_s)
        self._fill()

    def _fill(self) -> None:
        while self._idle and (held := self._queue.claim()) is not None:
            self._idle -= 1
            self._at(self.now_s + held.rows / ROWS_PER_S, lambda held=held: self._end(held))  # type: ignore[misc]

    def _end(self, held: Claim) -> None:
        self._queue.commit(held)
        job = self.jobs[held.job_id]
        job.left, job.ended_s = job.left - 1, self.now_s
        self.served[job.owner].append(self.now_s)
        self._idle += 1
        self._fill()


def figures_of(simulation: Simulation, arrived: Sequence[Arrival]) -> Figures:
    """Fairness of the rows of each owner and of the waiting times of light owners."""
    lasting = [arrival for arrival in arrived if arrival.jobs > 1]
    level_s = min(max(simulation.served[arrival.owner]) for arrival in lasting)
    given = [sum(t <= level_s for t in simulation.served[one.owner]) / one.weight for one in lasting]
    light = {arrival.owner: arrival for arrival in arrived if arrival.jobs == 1}
    waits = {job.owner: job.took_s / ALONE_S for job in simulation.jobs.values() if job.owner in light}
    competing = {owner: _shares_beside(simulation, arrived, light[owner]) for owner in waits}
    return Figures(
        jain=sum(given) ** 2 / (len(given) * sum(one**2 for one in given)),
        most_waits=max(waits.values()),
        most_unfairness=max(waits[owner] / competing[owner] for owner in waits),
        took_s=simulation.now_s,
    )


def _shares_beside(simulation: Simulation, arrived: Sequence[Arrival], own: Arrival) -> float:
    """Total weight of the owners with work when the job arrives, divided by the weight of the job's owner."""
    active = [
        one.weight for one in arrived if one.at_s <= own.at_s and max(simulation.served[one.owner]) > own.at_s
    ]
    return sum(active) / own.weight


def simulated(
    make: Callable[[Mapping[str, float]], Queue], owners: int, *, weighted: bool = False, by_job: bool = False
) -> Figures:
    """`make` returns an empty queue with the owners' weights. `by_job`: all jobs belong to a single owner."""
    arrived = arrivals(owners, weighted=weighted)
    queue = make({} if by_job else {arrival.owner: arrival.weight for arrival in arrived})
    simulation = Simulation(queue, arrived, (lambda _: "all") if by_job else (lambda owner: owner))
    simulation.run()
    return figures_of(simulation, arrived)


def table(rows: Mapping[str, Figures]) -> Iterator[str]:
    yield "| order | Jain's index | longest light job, times alone | … per competing share |"
    yield "|---|---|---|---|"
    for name, one in rows.items():
        yield f"| {name} | {one.jain:.4f} | {one.most_waits:.1f} | {one.most_unfairness:.2f} |"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fair_shares", description=__doc__)
    parser.add_argument("--owners", type=int, default=50, help="(50)")
    given = parser.parse_args(words)
    return ended("bench.fair_shares", lambda: _measure(given.owners))


def _measure(owners: int) -> None:
    kinds: dict[str, dict[str, bool]] = {
        "by owner, then job": {},
        "by owner with weights 1, 2, 3": {"weighted": True},
        "by job alone": {"by_job": True},
    }
    found: dict[str, Figures] = {}
    for name, kind in kinds.items():
        with bare_queue() as client:
            found[name] = simulated(lambda weights, c=client: LedgerQueue(c, weights), owners, **kind)  # type: ignore[misc]
    for line in table(found):
        say(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
