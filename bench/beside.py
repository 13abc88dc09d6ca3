"""`python -m bench.beside`: online requests at a moderate rate, alone and while a large job runs.

The rate is a fraction of the throughput of a closed loop. Each round sends the same requests twice, alone and
beside a job that outlasts them, and runs the job alone for a while. The worker's heartbeats show the share of
engine time of each lane.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self, TypeAlias

import httpx
import uvloop

from bench import arrivals, loads, stored_runs
from bench.arrivals import Offer
from bench.beside_report import BesideResults, BesideRound
from bench.calls import NoAnswer
from bench.commands import ended, say
from bench.environments import entrant
from bench.machine import Began
from bench.offline_ways import pieces
from bench.open_loop import measure_open
from bench.plan import Plan
from bench.random_rows import MEDIA_TYPES, draw, write_file
from bench.rivals import takt, takt_native
from bench.rivals_side_by_side import Field, standing
from bench.running import Session, settle
from bench.samples import Measured
from bench.servers import Server
from bench.subjects import subject
from stack.live_workers import connect, live_workers
from stack.redis_url import queue_url

_CONNECTIONS = 64
_WARM_UP_S = 1.0
_ALONE = 0.6  # as a fraction of the load's duration: the time for which the job is observed alone
_LOOK_S = 0.02
_LIMIT_S = 300.0
_STACKS = {"auto": takt.RIVAL, "native": takt_native.RIVAL}

_Spent: TypeAlias = tuple[float, float, float]
"""Seconds between two heartbeats, and engine seconds in them: online, offline."""

_Turn: TypeAlias = tuple[Measured, float, float, float, float]
"""The requests beside a job, the job's rows a second, and the engine time used."""


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    command = f"python -m bench.beside {' '.join(words)}".strip()
    return ended("bench.beside", lambda: stored_runs.report_and_keep(_measure(given, command), given.json))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    parser.add_argument("--model", default="iris", help="iris, classifier or heavy (iris)")
    parser.add_argument("--runtime", choices=_STACKS, default="auto", help="native: no compiled runtime")
    parser.add_argument("--device", default="cpu", help="device of the worker: cpu or cuda:N (cpu)")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the job (10000000)")
    parser.add_argument("--load", type=float, default=0.3, help="fraction of a closed loop's rate (0.3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of each load (5)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _measure(given: argparse.Namespace, command: str) -> BesideResults:
    began = Began(command)
    stack = replace(_STACKS[given.runtime], environment={"TAKT_DEVICE": given.device})
    plan = Plan((stack.name,), (_CONNECTIONS,), given.rounds, given.seconds, models=(given.model,))
    with standing([entrant(stack, say)], subject(given.model), say) as field:
        session = Session(field, loads.choose(None), plan)
        full_per_s = _full(session)
        bench = _Bench(field, given.rows, given.load * full_per_s, given.seconds)
        rounds = tuple(bench.take(number) for number in range(given.rounds))
    return BesideResults(
        **began.facts(),
        model=given.model,
        runtime=given.runtime,
        job_rows=given.rows,
        full_per_s=full_per_s,
        rate=given.load * full_per_s,
        rounds=rounds,
    )


def _full(session: Session) -> float:
    """Answers a second of a closed loop after warm-up."""
    settle(session)
    [server] = session.servers.values()
    samples, _ = session.fire(server, _CONNECTIONS, session.plan.seconds)
    server.quiet_down()
    return sum(sample.good for sample in samples) / session.plan.seconds


class _Bench:
    """The turns of a round, on a stack."""

    def __init__(self, field: Field, rows: int, rate: float, seconds: float) -> None:
        [self._server] = field.servers.values()
        self._file = field.folder / "rows.arrow"
        write_file("arrow", self._file, field.task.description, draw(field.task.description, rows))
        self._rate, self._seconds = rate, seconds

    def take(self, number: int) -> BesideRound:
        """Run A B, then B A, so that the order alternates. Raises NoAnswer, httpx.HTTPError."""
        if number % 2 == 0:
            alone, turn = self._alone(number), self._beside(number)
            job_alone = self._job_alone()
        else:
            job_alone = self._job_alone()
            turn, alone = self._beside(number), self._alone(number)
        found = BesideRound(number, alone, *turn, job_alone_rows_per_s=job_alone)
        say(
            f"round {number + 1}: p99 {alone.p99_ms or 0:.1f} ms alone, {found.beside.p99_ms or 0:.1f} "
            f"beside a job, which has {found.left_taken:.0%} of the time left and does {found.left_done:.0%} "
            "of the rows"
        )
        return found

    def _alone(self, number: int) -> Measured:
        seen = self._offered(number)
        self._server.quiet_down()
        return seen

    def _beside(self, number: int) -> _Turn:
        with _running(self._server, self._file) as job, _Beats(self._server) as beats:
            rows, begun_s = job.rows_done(), time.monotonic()
            seen = self._offered(number)
            rows_per_s = (job.rows_done() - rows) / (time.monotonic() - begun_s)
        self._server.quiet_down()
        return seen, rows_per_s, *beats.spent()

    def _job_alone(self) -> float:
        """The job's rows a second; the job is faster alone, so a shorter time is enough."""
        with _running(self._server, self._file) as job:
            rows, begun_s = job.rows_done(), time.monotonic()
            time.sleep(_ALONE * (_WARM_UP_S + self._seconds))
            rows_per_s = (job.rows_done() - rows) / (time.monotonic() - begun_s)
        self._server.quiet_down()
        return rows_per_s

    def _offered(self, number: int) -> Measured:
        """Random generator that yields the same requests within a round."""
        offer = Offer(self._rate, _WARM_UP_S + self._seconds, seed=number)

        async def offered() -> list[arrivals.Call]:
            return await arrivals.Load([self._server.url], self._server.body, offer).run()

        return measure_open(uvloop.run(offered()), offer, warm_up_s=_WARM_UP_S)


class _Job:
    """A running job."""

    def __init__(self, client: httpx.Client, path: str) -> None:
        self._client, self._path = client, path

    def rows_done(self) -> int:
        """Raises NoAnswer if the job is not running, because it is then no load."""
        found = self._client.get(self._path).raise_for_status().json()
        if found["state"] != "running":
            raise NoAnswer(f"the job is {found['state']} and not beside the requests: increase --rows")
        return int(found["rows_succeeded"])


@contextmanager
def _running(server: Server, file: Path) -> Iterator[_Job]:
    """Start a job with the file's rows and wait for its first rows. The job is deleted after the block."""
    with httpx.Client(base_url=f"http://127.0.0.1:{server.place.port}", timeout=_LIMIT_S) as client:
        params, headers = {"model": server.place.subject.name}, {"Content-Type": MEDIA_TYPES["arrow"]}
        with file.open("rb") as body:
            answer = client.post("/jobs", params=params, content=pieces(body), headers=headers)
        path = str(answer.raise_for_status().headers["Location"])
        job, limit_s = _Job(client, path), time.monotonic() + _LIMIT_S
        while not client.get(path).json()["rows_succeeded"] and time.monotonic() < limit_s:
            time.sleep(_LOOK_S)
        yield job
        client.post(f"{path}/cancel").raise_for_status()
        while client.get(path).json()["state"] not in ("canceled", "succeeded"):
            time.sleep(_LOOK_S)
        client.delete(path).raise_for_status()


class _Beats(threading.Thread):
    """Samples the engine time of each lane from the worker's heartbeat while the block runs."""

    def __init__(self, server: Server) -> None:
        super().__init__(name="beats", daemon=True)
        self._url = queue_url(server.place.folder / "data")
        self._enough = threading.Event()
        self._seen: list[tuple[float, float, float]] = []  # time, online and offline seconds

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join(_LIMIT_S)

    def run(self) -> None:
        last = None
        with connect(self._url) as client:
            while not self._enough.wait(_LOOK_S):
                [worker] = live_workers(client)
                if (now := (worker.online_s, worker.offline_s)) != last:
                    self._seen.append((time.monotonic(), *now))
                    last = now

    def spent(self) -> _Spent:
        """Usage between the block's first new heartbeat and its last. Raises NoAnswer for fewer than two."""
        if len(self._seen) < 3:
            raise NoAnswer("too few heartbeats: increase the duration of each load (--seconds)")
        (then_s, *before), (now_s, *after) = self._seen[1], self._seen[-1]  # [0] precedes the block
        online_s, offline_s = (b - a for a, b in zip(before, after, strict=True))
        return now_s - then_s, online_s, offline_s


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
