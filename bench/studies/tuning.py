"""`python -m bench.studies.tuning`: effect of interpreter and library settings on a worker.

The engine's thread shares its interpreter with the chunks' threads, the heartbeat and Celery. Each setting
has its own stack and applies to that stack's worker only (bench/studies/tuned). A round runs a job beside a
moderate online load, then a closed loop without a job, on each stack.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from bench import arrivals, loads, offline_ways, stored_runs
from bench.answers import Answer
from bench.commands import ended, say
from bench.environments import Entrant, entrant
from bench.machine import Began
from bench.open_loop import measure_open
from bench.plan import Plan
from bench.random_rows import draw, requests_of, write_file
from bench.rivals import DESCRIPTION, takt
from bench.rivals_side_by_side import Field, standing
from bench.running import Session, settle
from bench.servers import Server
from bench.studies.tuning_report import Tuned, TuningResults
from bench.subjects import ROOT, subject

TUNED = Path(__file__).with_name("tuned")
_CHECKED_ROWS = 100
_CONNECTIONS = 64
_WARM_UP_S = 0.5


@dataclass(frozen=True)
class Setting:
    """A worker setting, as a description and as environment variables."""

    about: str
    environment: Mapping[str, str]


SETTINGS: Mapping[str, Setting] = {
    "as_it_is": Setting("threads switch after 5 ms, models and modules frozen, one CPU thread", {}),
    "switch_1ms": Setting("switch interval 1 ms", {"BENCH_SWITCH_INTERVAL_S": "0.001"}),
    "switch_50ms": Setting("switch interval 50 ms", {"BENCH_SWITCH_INTERVAL_S": "0.05"}),
    "gc_rare": Setting("gc.set_threshold(50000, 20, 50)", {"BENCH_GC_THRESHOLDS": "50000,20,50"}),
    "gc_thawed": Setting("gc.unfreeze(): the collector as Python has it", {"BENCH_GC_THAW": "1"}),
    "two_threads": Setting("two CPU threads a call", {"TAKT_THREADS": "2", "OMP_NUM_THREADS": "2"}),
}


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    command = f"python -m bench.studies.tuning {' '.join(words)}".strip()
    return ended(
        "bench.studies.tuning", lambda: stored_runs.report_and_keep(_measure(given, command), given.json)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.studies.tuning", description=__doc__)
    parser.add_argument("--model", default="iris", help="iris, classifier or heavy (iris)")
    parser.add_argument("--settings", default=",".join(SETTINGS), help="a,b; ratios are to the first")
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of each job (2000000)")
    parser.add_argument("--rate", type=float, default=100.0, help="online requests a second beside it (100)")
    parser.add_argument("--seconds", type=float, default=1.5, help="seconds of online load (1.5)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _measure(given: argparse.Namespace, command: str) -> TuningResults:
    """Raises ValueError for an unknown setting."""
    began = Began(command)
    chosen = {name: _setting(name) for name in given.settings.split(",")}
    plan = Plan(tuple(chosen), (_CONNECTIONS,), given.rounds, given.seconds, models=(given.model,))
    with standing([_told(name, one) for name, one in chosen.items()], subject(given.model), say) as field:
        session = Session(field, loads.choose(None), plan)
        settle(session)
        bench = _Bench(session, _job(field, given.rows), given.rate)
        rounds = [bench.take(number, name) for number in range(plan.rounds) for name in _order(plan, number)]
    settings = {name: one.about for name, one in chosen.items()}
    return TuningResults(**began.facts(), model=given.model, settings=settings, rounds=tuple(rounds))


def _setting(name: str) -> Setting:
    if name not in SETTINGS:
        raise ValueError(f"unknown setting {name!r}; available: {', '.join(SETTINGS)}")
    return SETTINGS[name]


def _told(name: str, setting: Setting) -> Entrant:
    """Takt with this setting."""
    path = os.pathsep.join(map(str, (TUNED, ROOT, ROOT / "client")))
    environment = {"PYTHONPATH": path, **setting.environment}
    rival = replace(takt.RIVAL, name=name, about=setting.about, environment=environment)
    return entrant(rival, say)


def _order(plan: Plan, number: int) -> Sequence[str]:
    """Run A B, then B A, so that the order alternates."""
    return plan.rivals if number % 2 == 0 else plan.rivals[::-1]


@dataclass(frozen=True)
class _Job:
    """A job's file and its first answers."""

    file: Path
    rows: int
    right: Sequence[Answer]


def _job(field: Field, rows: int) -> _Job:
    description, file = field.task.description, field.folder / "rows.arrow"
    drawn = draw(description, rows)
    write_file("arrow", file, description, drawn)
    right = offline_ways.right_answers(field.folder / DESCRIPTION, next(requests_of(drawn, _CHECKED_ROWS)))
    return _Job(file, rows, right)


class _Bench:
    """The loads for each setting."""

    def __init__(self, session: Session, job: _Job, rate: float) -> None:
        self._session = session
        self._job = job
        self._rate = rate

    def take(self, number: int, name: str) -> Tuned:
        server = self._session.servers[name]
        rows_per_s, p50_ms, p99_ms = self._both_lanes(server, number)
        server.quiet_down()
        answers_per_s, worker_cpu_ms = self._online(server)
        server.quiet_down()
        say(f"round {number + 1}, {name:<12} {rows_per_s:>12,.0f} rows/s {answers_per_s:>8,.0f} answers/s")
        return Tuned(number, name, rows_per_s, p50_ms, p99_ms, answers_per_s, worker_cpu_ms)

    def _both_lanes(self, server: Server, number: int) -> tuple[float, float, float]:
        """Returns the job's rows a second, and p50 and p99 of the requests beside it."""
        offer = arrivals.Offer(self._rate, _WARM_UP_S + self._session.plan.seconds, seed=number)

        async def offered() -> list[arrivals.Call]:
            return await arrivals.Load([server.url], server.body, offer).run()

        job = self._job
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(offline_ways.job, server, "arrow", job.file, job.rows, job.right)
            seen = measure_open(uvloop.run(offered()), offer, warm_up_s=_WARM_UP_S)
            took_s = running.result()
        return job.rows / took_s, seen.p50_ms or 0.0, seen.p99_ms or 0.0

    def _online(self, server: Server) -> tuple[float, float]:
        """Returns answers a second, and the worker's CPU ms for each answer."""
        seconds, before = self._session.plan.seconds, server.usage()
        samples, _ = self._session.fire(server, _CONNECTIONS, seconds)
        spent_s = server.usage().cpu_s["worker"] - before.cpu_s["worker"]
        answers = sum(sample.good for sample in samples)
        return answers / seconds, spent_s * 1000 / max(1, answers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
