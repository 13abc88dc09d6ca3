"""`python -m bench.costs`: CPU time and bytes of a request and of a million rows, in each part of Takt.

Requests are measured under closed loops, rows by jobs from upload to the last result byte. The proportion of
the costs shows which part saturates first, and the load of the other parts at that point.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import redis

from bench import loads, offline_ways, stored_runs
from bench.commands import ended, say
from bench.costs_report import Cost, CostResults
from bench.environments import entrant
from bench.machine import Began
from bench.plan import Plan
from bench.random_rows import draw, requests_of, write_file
from bench.rivals import DESCRIPTION, takt
from bench.rivals_side_by_side import Field, standing
from bench.running import Session, settle
from bench.servers import Server
from bench.subjects import subject
from shared.connections import connect
from stack.redis_url import queue_url

_IDLE_S = 4.0
_CHECKED_ROWS = 100

Work = tuple[str, Callable[[], int]]
"""A name and a function that does the work and returns the number of requests or rows."""


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    command = f"python -m bench.costs {' '.join(words)}".strip()
    return ended("bench.costs", lambda: stored_runs.report_and_keep(_measure(given, command), given.json))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.costs", description=__doc__)
    parser.add_argument("--model", default="iris", help="iris, classifier or heavy (iris)")
    parser.add_argument("--connections", default="1,64,256", help="a,b: closed loops (1,64,256)")
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of each closed loop (3)")
    parser.add_argument("--rows", type=int, default=500_000, help="rows of each job (500000)")
    parser.add_argument("--formats", default="arrow,parquet,csv", help="formats of files; '' for none")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _measure(given: argparse.Namespace, command: str) -> CostResults:
    began = Began(command)
    counts = tuple(int(count) for count in given.connections.split(","))
    plan = Plan((takt.RIVAL.name,), counts, given.rounds, given.seconds, models=(given.model,))
    with standing([entrant(takt.RIVAL, say)], subject(given.model), say) as field:
        [server] = field.servers.values()
        session = Session(field, loads.choose(None), plan)
        jobs = list(_jobs(field, server, list(filter(None, given.formats.split(","))), given.rows))
        settle(session)
        idle = _idle_cores(server)
        with connect(queue_url(server.place.folder / "data")) as queue:
            requests = _costs(server, queue, list(_loops(session, server)), plan.rounds)
            rows = _costs(server, queue, jobs, plan.rounds)
    return CostResults(
        **began.facts(),
        model=given.model,
        rounds=plan.rounds,
        idle_cores=idle,
        requests=tuple(requests),
        rows=tuple(rows),
    )


def _loops(session: Session, server: Server) -> Iterator[Work]:
    for count in session.plan.connections:
        seconds = session.plan.measured_for_s(count)
        yield f"{count} connections", lambda count=count, s=seconds: _answered(session, server, count, s)  # type: ignore[misc]


def _answered(session: Session, server: Server, connections: int, seconds: float) -> int:
    samples, _ = session.fire(server, connections, seconds)
    return sum(sample.good for sample in samples)


def _jobs(field: Field, server: Server, formats: Sequence[str], rows: int) -> Iterator[Work]:
    description = field.task.description
    drawn = draw(description, rows)
    right = offline_ways.right_answers(field.folder / DESCRIPTION, next(requests_of(drawn, _CHECKED_ROWS)))
    for form in formats:
        file = field.folder / f"rows.{form}"
        write_file(form, file, description, drawn)

        def job(form: str = form, file: Path = file) -> int:
            offline_ways.job(server, form, file, rows, right)
            return rows

        yield form, job


def _costs(server: Server, queue: redis.Redis, works: Sequence[Work], rounds: int) -> list[Cost]:
    """Run A B C, then C B A, so that the order alternates."""
    found = []
    for number in range(rounds):
        for name, work in works if number % 2 == 0 else works[::-1]:
            found.append(_cost(server, queue, number, name, work))
            server.quiet_down()
            say(f"round {number + 1}/{rounds}, {name}: {found[-1].count:,}")
    return found


def _cost(server: Server, queue: redis.Redis, number: int, name: str, work: Callable[[], int]) -> Cost:
    before, traffic, begun_s = server.usage(), queue.info("stats"), time.monotonic()
    count = work()
    after, since, took_s = server.usage(), queue.info("stats"), time.monotonic() - begun_s
    return Cost(
        round=number,
        work=name,
        count=count,
        took_s=took_s,
        cpu_s={part: s - before.cpu_s.get(part, 0.0) for part, s in after.cpu_s.items()},
        written_bytes={
            part: n - before.written_bytes.get(part, 0) for part, n in after.written_bytes.items()
        },
        received_bytes=since["total_net_input_bytes"] - traffic["total_net_input_bytes"],
        sent_bytes=since["total_net_output_bytes"] - traffic["total_net_output_bytes"],
    )


def _idle_cores(server: Server) -> dict[str, float]:
    """CPU use of each part at rest, in cores."""
    server.quiet_down()
    before, begun_s = server.usage(), time.monotonic()
    time.sleep(_IDLE_S)
    return server.usage().cores_since(before, time.monotonic() - begun_s)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
