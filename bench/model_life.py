"""`python -m bench.model_life`: the life of a version under load, with two replicas of every program.

Two gateways, and two supervisors with a worker each, serve a share of the requests that they can answer, and
run a large job. Meanwhile a version is published, gets 10 %, 50 % and all of the requests, is rolled back,
dropped and deleted. Every round has a job of its own. The job's result is compared with that of the same job
without changes, and p99 of the requests during each step with p99 before the first step, beside the job.
The command fails if a request fails or a result differs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx
import numpy as np
import pyarrow as pa
import uvloop

from bench.arrivals import Call, Load, Offer
from bench.calls import WrongAnswer
from bench.commands import ended, say
from bench.replicas import Replicas
from bench.servers import DidNotStart
from bench.supervision.models import VERSION, row, write_forest
from stack.process_group import ProcessGroup
from takt import Takt

MODEL = "forest"
MOST_RATIO = 2.0
BEFORE = "before"
_REPLICAS = 2
_LOOK_EVERY_S = 0.05
_LIMIT_S = 300.0
_CONNECTIONS = 16
_CAPACITY_S = 5.0
_LOAD_S = 3600.0
_JOB_FORMAT = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class Step:
    """A step of a round, in seconds of the load's clock."""

    name: str
    begun_s: float
    ended_s: float

    def calls(self, calls: Sequence[Call]) -> list[Call]:
        return [one for one in calls if self.begun_s <= one.due_s < self.ended_s]


class Background:
    """Requests to all gateways at a rate, from a thread, until `end`."""

    def __init__(self, urls: Sequence[str], per_s: float, seed: int) -> None:
        gc.freeze()  # else each full collection delays requests by 0.1 s
        self._urls = [f"{url}/models/{MODEL}/predict" for url in urls]
        self._offer = Offer(per_s, _LOAD_S, wait_s=10, seed=seed)
        self._begun_s = 0.0
        self._load: Load | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._load = Load(self._urls, _body(), self._offer)
        self._begun_s = time.monotonic()
        self._started.set()
        await self._load.run()

    def now_s(self) -> float:
        return time.monotonic() - self._begun_s

    def end(self) -> list[Call]:
        """Send no further requests. → all of them, after the last has ended"""
        assert self._load is not None
        if self._thread.is_alive() and self._loop is not None:
            self._loop.call_soon_threadsafe(self._load.end)
        self._thread.join()
        return self._load.calls


def _body() -> bytes:
    return httpx.Request("POST", "http://takt", json=row()).content


@dataclass(frozen=True)
class Replicated:
    """A running Takt with two replicas of every program."""

    urls: tuple[str, ...]
    http: httpx.Client  # to the first gateway
    takt: Takt  # to the second gateway, which gets the changes
    source: Path  # files of the versions to publish
    rows: bytes  # of the job, as an Arrow stream

    def wait_until(self, what: str, is_so: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until each gateway shows a deployment for which `is_so` is true. Raises DidNotStart."""
        for url in self.urls:
            end_s = time.monotonic() + _LIMIT_S
            while not is_so(view := _got(f"{url}/models/{MODEL}/deployment")):
                if time.monotonic() > end_s:
                    raise DidNotStart(f"not {what} after {_LIMIT_S:g} s: {view}")
                time.sleep(_LOOK_EVERY_S)

    def submitted(self) -> str:
        headers = {"Content-Type": _JOB_FORMAT}
        answer = self.http.post("/jobs", params={"model": MODEL}, content=self.rows, headers=headers)
        return str(answer.raise_for_status().headers["location"])

    def job(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(path).raise_for_status().json()
        return found

    def result_of(self, path: str) -> str:
        """The SHA-256 of a job's results, after its end. Raises WrongAnswer if it fails."""
        while (found := self.job(path))["state"] in ("queued", "running"):
            time.sleep(_LOOK_EVERY_S)
        if (found["state"], found["rows_failed"]) != ("succeeded", 0):
            raise WrongAnswer(f"the job ended as {found}")
        digest = hashlib.sha256()
        with self.http.stream("GET", f"{path}/results", params={"format": "ndjson"}) as answer:
            for piece in answer.raise_for_status().iter_bytes():
                digest.update(piece)
        self.http.delete(path).raise_for_status()
        return digest.hexdigest()


def _got(url: str) -> dict[str, Any]:
    answer = httpx.get(url, timeout=60, trust_env=False, verify=False)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


@contextmanager
def replicated(mebibytes: int, rows: int) -> Iterator[Replicated]:
    """Start everything, and stop it after the block. Raises DidNotStart."""
    with ExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory(prefix="takt-bench-")))
        models, source = folder / "models", folder / "source"
        write_forest(models, MODEL, mebibytes)
        source.mkdir()
        for name in ("model.toml", f"{VERSION}/model.joblib"):
            shutil.copy(models / MODEL / name, source)
        leash = held.enter_context(closing(ProcessGroup()))
        replicas = Replicas(folder, models, leash, MODEL)
        first, _ = held.enter_context(replicas.takt_up("--workers", "1"))
        held.enter_context(replicas.supervisor(2))
        second, _ = held.enter_context(replicas.gateway(2))
        http = held.enter_context(httpx.Client(base_url=first, timeout=_LIMIT_S, trust_env=False))
        takt = held.enter_context(Takt(second, timeout_s=_LIMIT_S))
        found = Replicated((first, second), http, takt, source, _random_rows(rows))
        found.wait_until("held by all workers", lambda view: _is_held(view, {VERSION}))
        yield found


def _random_rows(rows: int) -> bytes:
    luck = np.random.default_rng(3)
    table = pa.table({name: luck.random(rows).round(6) for name in row()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, 65_536)
    return bytes(sink.getvalue().to_pybytes())


def _is_held(view: dict[str, Any], versions: set[str]) -> bool:
    """Whether all workers hold exactly these versions."""
    held = {one["version"]: len(one["workers"]) for one in view["versions"]}
    return held == dict.fromkeys(versions, _REPLICAS)


def capacity(urls: Sequence[str]) -> float:
    """Requests/s of closed loops over all gateways."""
    counts, end_s = [0] * _CONNECTIONS, time.monotonic() + _CAPACITY_S

    def ask(number: int) -> None:
        with httpx.Client(base_url=urls[number % len(urls)], timeout=60, trust_env=False) as http:
            while time.monotonic() < end_s:
                http.post(f"/models/{MODEL}/predict", json=row()).raise_for_status()
                counts[number] += 1

    threads = [threading.Thread(target=ask, args=[number]) for number in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / _CAPACITY_S


def walk(takt: Replicated, version: str, load: Background, hold_s: float) -> Iterator[Step]:
    """The steps of a version's life, each until its effect, and for `hold_s` at least."""
    both = {"wanted": [VERSION, version], "default": VERSION}
    deploy, serves = takt.takt.deploy, takt.wait_until

    def split(percent: int) -> None:
        deploy(MODEL, both | {"split": {VERSION: 100 - percent, version: percent}})
        serves("held by all workers", lambda view: _is_held(view, {VERSION, version}))

    def promote() -> None:
        deploy(MODEL, both | {"default": version})
        serves("promoted", lambda view: bool(view["serves"] == version))

    def roll_back() -> None:
        takt.takt.roll_back(MODEL)
        serves("rolled back", lambda view: bool(view["serves"] == VERSION))

    def drop() -> None:
        deploy(MODEL, {"wanted": [VERSION], "default": VERSION})
        serves("dropped by all workers", lambda view: _is_held(view, {VERSION}))

    steps: list[tuple[str, Callable[[], object], float]] = [
        (BEFORE, lambda: None, 5 * hold_s),
        ("publish", lambda: takt.takt.publish(takt.source, version=version), hold_s),
        ("canary 10 %", lambda: split(10), hold_s),
        ("canary 50 %", lambda: split(50), hold_s),
        ("100 %", promote, hold_s),
        ("rollback", roll_back, hold_s),
        ("drop", drop, hold_s),
        ("delete", lambda: takt.takt.delete_version(MODEL, version), hold_s),
    ]
    for name, act, least_s in steps:
        begun_s = load.now_s()
        act()
        effect_s = load.now_s() - begun_s
        time.sleep(max(0.0, least_s - effect_s))
        say(f"{version} {name}: {effect_s:.1f} s")
        yield Step(name, begun_s, load.now_s())


@dataclass(frozen=True)
class Round:
    """The requests of a round by step."""

    calls: dict[str, list[Call]]

    def p99_ms(self, step: str) -> float:
        return statistics.quantiles([one.took_ms for one in self.calls[step]], n=100)[98]

    def failed(self, step: str) -> int:
        return sum(not one.good for one in self.calls[step])


def run_round(takt: Replicated, number: int, per_s: float, hold_s: float, right: str) -> Round:
    """Raises WrongAnswer if the job's result is not `right`, or the job ends before the last step."""
    path = takt.submitted()
    with Background(takt.urls, per_s, seed=number) as load:
        steps = list(walk(takt, f"1.{number}.0", load, hold_s))
        state = takt.job(path)["state"]
        calls = load.end()
    if state != "running":
        raise WrongAnswer(f"the job was {state} before the last step: increase --rows or --mebibytes")
    if (found := takt.result_of(path)) != right:
        raise WrongAnswer(f"the job's result has SHA-256 {found}, without changes {right}")
    return Round({step.name: step.calls(calls) for step in steps})


def report(rounds: Sequence[Round]) -> Iterator[str]:
    """A line for each step: p99, its ratio to p99 before, and the failed requests, of all rounds."""
    for name in rounds[0].calls:
        p99_ms = [one.p99_ms(name) for one in rounds]
        ratios = [one.p99_ms(name) / one.p99_ms(BEFORE) for one in rounds]
        sent, failed = sum(len(one.calls[name]) for one in rounds), sum(one.failed(name) for one in rounds)
        yield (
            f"{name:12} {sent:6} requests, {failed} failed; p99 {statistics.median(p99_ms):6.1f} ms, "
            f"{statistics.median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f})"
        )


def measure(given: argparse.Namespace) -> None:
    """Raises WrongAnswer if a request fails or a job's result differs."""
    with replicated(given.mebibytes, given.rows) as takt:
        most_per_s = capacity(takt.urls)
        begun_s = time.monotonic()
        right = takt.result_of(takt.submitted())
        print(
            f"{given.rows} rows without changes: {time.monotonic() - begun_s:.0f} s; "
            f"{most_per_s:.0f} requests/s, of which {given.share:.0%} are sent",
            flush=True,
        )
        per_s = given.share * most_per_s
        rounds = [run_round(takt, number, per_s, given.hold, right) for number in range(1, given.rounds + 1)]
    print("\n".join(report(rounds)))
    failed = sum(one.failed(name) for one in rounds for name in one.calls)
    if failed:
        raise WrongAnswer(f"{failed} requests failed")
    print(f"0 requests failed, and the job had the same result in {len(rounds)} rounds")


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.model_life", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the job (2000000)")
    parser.add_argument("--share", type=float, default=0.3, help="of the requests/s without a job (0.3)")
    parser.add_argument("--mebibytes", type=int, default=160, help="memory of the model (160)")
    parser.add_argument("--hold", type=float, default=4.0, help="least seconds of a step (4)")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args(words)
    return ended("bench.model_life", lambda: measure(given))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
