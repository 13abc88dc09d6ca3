"""`python -m bench.lanes`: each lane under full load of the other lane.

Online: latency at a moderate rate, alone and beside a job that can fill the worker.
Offline: a job's share of engine time, beside five times the online load that the model can process.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from bench.arrivals import Offer
from bench.commands import ended
from bench.machine import this_machine
from bench.outcomes import Outcome, outcome_of
from bench.paced import PacedStack, offered, running_job, serving_paced
from bench.spreads import short
from bench.tables import table
from stack.live_workers import connect, live_workers

_JOB_ROWS = 400_000
_BEAT_S = 2.5
"""Time after which a worker's heartbeat contains all its work."""
_OVERLOAD = 5
_SETTLE_S = 5.0


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    return ended("bench.lanes", lambda: _measure(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.lanes", description=__doc__)
    parser.add_argument("--row-ms", type=float, default=0.1, help="time of a row, for latency (0.1)")
    parser.add_argument("--rate", type=float, default=50.0, help="moderate online rate (50)")
    parser.add_argument("--cap", type=float, default=200.0, help="rows/s of the model, for shares (200)")
    parser.add_argument("--seconds", type=float, default=15.0, help="duration of each load (15)")
    return parser


def _measure(given: argparse.Namespace) -> None:
    with serving_paced(given.row_ms) as stack:
        _report(stack, given)


def _report(stack: PacedStack, given: argparse.Namespace) -> None:
    machine = this_machine()
    print(
        f"{machine.cores} cores ({machine.processor}), load average before: {machine.load_before:.1f}; "
        "one gateway, one worker."
    )
    modest = Offer(given.rate, given.seconds)
    full = Offer(_OVERLOAD * given.cap, given.seconds)
    offered(stack, Offer(given.rate, 2.0))  # warm-up
    rows = [_line(stack, f"{given.rate:g}/s, alone", modest)]
    with running_job(stack, _JOB_ROWS):
        rows.append(_line(stack, f"{given.rate:g}/s, beside a job", modest))
    stack.pace_file.write_text(f"{1000 / given.cap:g}")
    with running_job(stack, _JOB_ROWS):
        offered(stack, Offer(full.rate, _SETTLE_S))  # until the worker has measured the new speed
        rows.append(_line(stack, f"{_OVERLOAD} × {given.cap:g}/s, beside a job", full))
    print(
        f"\n{table(['online load', 'answers/s', 'p50 ms', 'p99 ms', 'late', 'engine: job', 'of it'], rows)}"
    )


def _line(stack: PacedStack, name: str, offer: Offer) -> list[str]:
    before = _spent(stack)
    seen = outcome_of(offered(stack, offer), offer)
    time.sleep(_BEAT_S)
    online_s, offline_s = (after - then for after, then in zip(_spent(stack), before, strict=True))
    return [name, *_cells(seen, online_s, offline_s)]


def _cells(seen: Outcome, online_s: float, offline_s: float) -> list[str]:
    times = [short(ms) if ms is not None else "-" for ms in (seen.p50_ms, seen.p99_ms)]
    share = f"{offline_s / (online_s + offline_s):.0%}"
    return [short(seen.good_per_s), *times, str(seen.misses), f"{offline_s:.1f} s", share]


def _spent(stack: PacedStack) -> tuple[float, float]:
    """Engine time of each lane in seconds."""
    with connect(stack.redis_url) as client:
        [worker] = live_workers(client)
    return worker.online_s, worker.offline_s


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
