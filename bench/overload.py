"""`python -m bench.overload`: behaviour under more load than the model can process.

A worker holds a model of known speed (200 rows/s). New clients arrive at 1, 2, 5 and 20 times that rate in
an open loop; rejected clients retry after their `Retry-After`.
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
from bench.paced import MODEL, PacedStack, offered, serving_paced
from bench.samples import percentile
from bench.spreads import short
from bench.tables import table
from shared.keys import model_key
from stack.live_workers import connect, live_workers

_IDLE = Offer(rate=10, seconds=3.0)
_BEAT_S = 2.5
"""Time after which a worker's heartbeat contains all its work."""
_KEY = model_key(MODEL, "1.0.0")


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    return ended("bench.overload", lambda: _measure(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--cap", type=float, default=200.0, help="rows/s of the model (200)")
    parser.add_argument("--loads", default="1,2,5,20", help="multiples of the cap (1,2,5,20)")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of new arrivals (10)")
    parser.add_argument("--returns", type=float, default=15.0, help="further time for retries (15)")
    parser.add_argument("--wait", type=int, default=2, help="client's wait limit in seconds (2)")
    parser.add_argument("--gateways", type=int, default=1, help="number of gateways (1)")
    return parser


def _measure(given: argparse.Namespace) -> None:
    with serving_paced(1000 / given.cap, given.gateways) as stack:
        _report(stack, given)


def _report(stack: PacedStack, given: argparse.Namespace) -> None:
    idle_ms = percentile(sorted(call.took_ms for call in offered(stack, _IDLE)), 50) or 0.0
    machine = this_machine()
    print(
        f"{machine.cores} cores ({machine.processor}), load average before: {machine.load_before:.1f}; "
        f"{given.gateways} gateway(s), one worker, {given.cap:g} rows/s; clients wait {given.wait} s. "
        f"An idle answer takes {short(idle_ms)} ms (p50)."
    )
    rows = [_line(stack, given, float(load), idle_ms) for load in given.loads.split(",")]
    print(f"\n{table(_HEADER, rows)}")


_HEADER = [
    *("load", "new/s", "admitted", "goodput ÷ cap", "p50 ms", "p99 ms", "refused in ms, p50", "p99"),
    *(
        "p99 − idle",
        "late",
        "broken",
        "predicted in vain",
        "came back",
        "admitted then",
        "longest Retry-After",
    ),
]


def _line(stack: PacedStack, given: argparse.Namespace, load: float, idle_ms: float) -> list[str]:
    offer = Offer(load * given.cap, given.seconds, given.returns, given.wait, seed=int(load))
    before = _rows_predicted(stack)
    calls = offered(stack, offer)
    time.sleep(_BEAT_S)
    predicted = _rows_predicted(stack) - before
    in_vain = predicted - sum(call.good for call in calls)
    seen = outcome_of(calls, offer)
    return [f"{load:g} ×", short(seen.new / offer.seconds), *_cells(seen, given.cap, idle_ms, in_vain)]


def _cells(seen: Outcome, cap: float, idle_ms: float, in_vain: int) -> list[str]:
    def ms(value: float | None) -> str:
        return short(value) if value is not None else "-"

    more_ms = seen.refusal_p99_ms - idle_ms if seen.refusal_p99_ms is not None else None
    return [
        f"{seen.new_admitted / max(1, seen.new):.0%}",
        f"{seen.good_per_s / cap:.2f}",
        *(ms(seen.p50_ms), ms(seen.p99_ms), ms(seen.refusal_p50_ms), ms(seen.refusal_p99_ms), ms(more_ms)),
        *(str(seen.misses), str(seen.broken), str(in_vain), str(seen.returned)),
        f"{seen.honesty:.0%}" if seen.honesty is not None else "-",
        f"{seen.longest_retry_s} s",
    ]


def _rows_predicted(stack: PacedStack) -> int:
    """Rows since the worker's start by its own counters, including answers without a waiting client."""
    with connect(stack.redis_url) as client:
        return sum(worker.models[_KEY].batch_rows for worker in live_workers(client))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
