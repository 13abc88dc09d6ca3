"""`python -m bench.jobs --jobs 2000 --connections 16`: jobs of one row, each sent and read by itself.

All are sent as fast as so many connections can, then read as they end. A job takes from its sending until its
result is read.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.answers import is_right, read_answer
from bench.calls import NoAnswer, WrongAnswer
from bench.commands import ended
from bench.machine import this_machine
from bench.report import machine_in_words
from bench.rivals import takt
from bench.samples import percentile
from bench.servers import Server
from bench.spreads import Spread, short, spread
from bench.standing import alone
from bench.subjects import subject
from bench.tables import table

_LOOK_S = 0.02
_LIMIT_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """One round of jobs."""

    jobs_per_s: float  # from the first sent to the last result read
    accepted_per_s: float
    p50_ms: float
    p99_ms: float


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000, help="in a round (2000)")
    parser.add_argument("--connections", type=int, default=16, help="that they come from (16)")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(words)
    return ended("bench.jobs", lambda: _measure(given))


def _measure(given: argparse.Namespace) -> None:
    for line in machine_in_words(this_machine()):
        print(line)
    with alone(takt.RIVAL, subject("iris")) as server:
        outcomes = [_round(server, given.jobs, given.connections) for _ in range(given.rounds)]
    print(f"\n{_table(outcomes, given.connections)}")


def _table(outcomes: Sequence[Outcome], connections: int) -> str:
    figures = (
        spread(one.jobs_per_s for one in outcomes),
        spread(one.accepted_per_s for one in outcomes),
        spread(one.p50_ms for one in outcomes),
        spread(one.p99_ms for one in outcomes),
    )
    header = ["connections", "jobs/s", "accepted/s", "p50 ms to the result", "p99 ms"]
    return table(header, [[str(connections), *map(_shown, figures)]])


def _shown(values: Spread | None) -> str:
    return values.shown(short) if values else "-"


def _round(server: Server, jobs: int, connections: int) -> Outcome:
    """Raises NoAnswer, WrongAnswer, OSError, http.client.HTTPException."""
    shares = [len(range(number, jobs, connections)) for number in range(connections)]
    begun_s = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        sent = list(pool.map(lambda count: Submitter(server).send(count), shares))
        accepted_s = time.perf_counter() - begun_s
        took_ms = sorted(ms for part in pool.map(lambda one: one.read(), sent) for ms in part)
    took_s = time.perf_counter() - begun_s
    p50_ms, p99_ms = percentile(took_ms, 50), percentile(took_ms, 99)
    assert p50_ms is not None
    assert p99_ms is not None
    return Outcome(jobs / took_s, jobs / accepted_s, p50_ms, p99_ms)


class Submitter:
    """One connection with its jobs."""

    def __init__(self, server: Server) -> None:
        self._right = server.right
        self._connection = http.client.HTTPConnection("127.0.0.1", server.place.port, timeout=_LIMIT_S)
        self._body = json.dumps(
            {"model": server.place.subject.name, "inputs": [server.place.subject.row]}
        ).encode()
        self._sent: list[tuple[float, str]] = []  # when, and the job's path

    def send(self, jobs: int) -> Submitter:
        for _ in range(jobs):
            at_s = time.perf_counter()
            response, body = self._ask("POST", "/jobs", self._body)
            if response.status != http.client.ACCEPTED:
                raise NoAnswer(f"a job was answered {response.status}: {body[:200]!r}")
            self._sent.append((at_s, response.headers["Location"]))
        return self

    def read(self) -> list[float]:
        """Each job's result, in the order of sending. → ms that each took"""
        took_ms = []
        for at_s, path in self._sent:
            while (body := self._result(path)) is None:
                time.sleep(_LOOK_S)
            took_ms.append((time.perf_counter() - at_s) * 1000)
            answer = read_answer(json.dumps(json.loads(body)["results"][0]).encode())
            if not is_right(answer, self._right):
                raise WrongAnswer(f"a job answered {answer}, but the model says {self._right}")
        self._connection.close()
        return took_ms

    def _result(self, path: str) -> bytes | None:
        """None: not yet. Raises NoAnswer."""
        response, body = self._ask("GET", f"{path}/results")
        if response.status == http.client.CONFLICT and response.headers["Retry-After"]:
            return None
        if response.status != http.client.OK:
            raise NoAnswer(f"results were answered {response.status}: {body[:200]!r}")
        return body

    def _ask(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        headers = {"Content-Type": "application/json"} if body else {}
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response, response.read()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
