"""`python -m bench.jobs --jobs 2000 --connections 16`: throughput of single-row jobs.

The connections send all jobs as fast as possible and then read each result as its job ends. A job's time is
from its request until its result is read. Rivals run fewer jobs in interleaved rounds; the compared figure is
jobs a second.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import rivals, stored_runs
from bench.answers import is_right, read_answer
from bench.calls import NoAnswer, WrongAnswer
from bench.commands import ended, say
from bench.environments import enter, versions
from bench.jobs_report import JobsResults, JobsRound
from bench.machine import Began
from bench.rivals import takt
from bench.rivals_side_by_side import Field, standing
from bench.samples import percentile
from bench.servers import Server
from bench.subjects import subject

_LOOK_S = 0.02
_LIMIT_S = 60.0
_WARM_UP_JOBS = 32


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    command = f"python -m bench.jobs {' '.join(words)}".strip()
    return ended("bench.jobs", lambda: stored_runs.report_and_keep(_measure(given, command), given.json))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000, help="Takt's jobs in a round (2000)")
    parser.add_argument("--rival-jobs", type=int, default=500, help="a rival's jobs in a round (500)")
    parser.add_argument("--connections", type=int, default=16, help="number of connections (16)")
    parser.add_argument(
        "--rivals", default="celery_tasks", help="a,b of celery_tasks, ray_tasks; '' for none"
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _measure(given: argparse.Namespace, command: str) -> JobsResults:
    began = Began(command)
    wanted = [rivals.rival(name) for name in (*filter(None, given.rivals.split(",")), takt.RIVAL.name)]
    entrants, skipped = enter(wanted, say)
    with standing(entrants, subject("iris"), say) as field:
        rounds = tuple(_rounds(field, given))
    return JobsResults(
        **began.facts(versions(entrants)),
        connections=given.connections,
        rivals=tuple(one.rival.name for one in entrants),
        rounds=rounds,
        skipped=skipped,
    )


def _rounds(field: Field, given: argparse.Namespace) -> Iterator[JobsRound]:
    """Run A B C, then C B A, so that the order alternates."""
    servers = list(field.servers.values())
    for server in servers:
        submit_and_read(server, 0, _WARM_UP_JOBS, given.connections)
    for number in range(given.rounds):
        for server in servers if number % 2 == 0 else servers[::-1]:
            jobs = given.jobs if server.rival is takt.RIVAL else given.rival_jobs
            done = submit_and_read(server, number, jobs, given.connections)
            say(f"round {number + 1}/{given.rounds}, {server.rival.name:<12} {done.jobs_per_s:>8,.0f} jobs/s")
            server.quiet_down()
            yield done


def submit_and_read(server: Server, number: int, jobs: int, connections: int) -> JobsRound:
    """Submit single-row jobs and read their results. Raises NoAnswer, WrongAnswer, OSError,
    http.client.HTTPException.
    """
    shares = [len(range(start, jobs, connections)) for start in range(connections)]
    begun_s = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        sent = list(pool.map(lambda count: Submitter(server).send(count), shares))
        accepted_s = time.perf_counter() - begun_s
        took_ms = sorted(ms for part in pool.map(lambda one: one.read(), sent) for ms in part)
    took_s = time.perf_counter() - begun_s
    p50_ms, p99_ms = percentile(took_ms, 50), percentile(took_ms, 99)
    assert p50_ms is not None
    assert p99_ms is not None
    return JobsRound(number, server.rival.name, jobs, jobs / took_s, jobs / accepted_s, p50_ms, p99_ms)


class Submitter:
    """A connection and its jobs."""

    def __init__(self, server: Server) -> None:
        self._right, self._headers = server.right, dict(server.rival.headers)
        self._connection = http.client.HTTPConnection("127.0.0.1", server.place.port, timeout=_LIMIT_S)
        self._body = json.dumps(
            {"model": server.place.subject.name, "inputs": [server.place.subject.row]}
        ).encode()
        self._sent: list[tuple[float, str]] = []  # time of sending, path of the job

    def send(self, jobs: int) -> Submitter:
        for _ in range(jobs):
            at_s = time.perf_counter()
            response, body = self._ask("POST", "/jobs", self._body)
            if response.status != http.client.ACCEPTED:
                raise NoAnswer(f"a job was answered {response.status}: {body[:200]!r}")
            self._sent.append((at_s, response.headers["Location"]))
        return self

    def read(self) -> list[float]:
        """Read each job's result in the order of sending, and return each job's time in ms."""
        took_ms = []
        for at_s, path in self._sent:
            while (body := self._result(path)) is None:
                time.sleep(_LOOK_S)
            took_ms.append((time.perf_counter() - at_s) * 1000)
            answer = read_answer(json.dumps(json.loads(body)["results"][0]).encode())
            if not is_right(answer, self._right):
                raise WrongAnswer(f"a job answered {answer}, but the model predicts {self._right}")
        self._connection.close()
        return took_ms

    def _result(self, path: str) -> bytes | None:
        """Return the result, or None if the job has not ended. Raises NoAnswer."""
        response, body = self._ask("GET", f"{path}/results")
        if response.status == http.client.CONFLICT and response.headers["Retry-After"]:
            return None
        if response.status != http.client.OK:
            raise NoAnswer(f"results were answered {response.status}: {body[:200]!r}")
        return body

    def _ask(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.request(method, path, body, self._headers)
        response = self._connection.getresponse()
        return response, response.read()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
