"""`python -m bench.durability --rows 10000000`: the cost of payloads and jobs that survive a power cut.

Each mode is a `takt up` on the same disk and runs a large job and single-row jobs, in interleaved rounds.
Ratios are relative to the first mode, which does not sync payloads.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import httpx

from bench import offline_ways
from bench.commands import ended, say
from bench.environments import entrant
from bench.random_rows import draw, requests_of, write_file
from bench.rivals import DESCRIPTION, Rival
from bench.rivals.takt import RIVAL as TAKT
from bench.rivals_side_by_side import Field, standing
from bench.servers import Server
from bench.subjects import subject

MODES: Mapping[str, Mapping[str, str]] = {
    "unsynced": {"TAKT_FSYNC_PAYLOADS": "false"},
    "memory": {},
    "disk": {"TAKT_DURABILITY": "disk"},
}
"""Environment variables by mode; the last two modes are values of TAKT_DURABILITY."""
_FORM = "arrow"
_CHECKED_ROWS = 1000


@dataclass(frozen=True)
class Measured:
    """Seconds of each round."""

    large_s: list[float]
    small_s: list[float]


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)

    def run() -> None:
        print(table(measure(given.rows, given.small, given.rounds), given.rows, given.small))

    return ended("bench.durability", run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.durability", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the large job (10000000)")
    parser.add_argument("--small", type=int, default=200, help="number of consecutive jobs of one row (200)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    return parser


def measure(rows: int, small: int, rounds: int) -> dict[str, Measured]:
    """Each mode's rounds: A B C, then C B A. Raises the errors of `standing` and of the ways."""
    found = {mode: Measured([], []) for mode in MODES}
    entrants = [entrant(_rival(mode), say) for mode in MODES]
    with standing(entrants, subject("iris"), say) as field:
        large = _large(field, rows)
        for number in range(rounds):
            for mode in list(MODES)[:: 1 if number % 2 == 0 else -1]:
                server = field.servers[f"takt_{mode}"]
                found[mode].large_s.append(large(server))
                found[mode].small_s.append(_small(server, small))
                say(f"round {number + 1}/{rounds}, {mode:<9} {found[mode].large_s[-1]:8.2f} s")
    return found


def _rival(mode: str) -> Rival:
    return replace(TAKT, name=f"takt_{mode}", about=f"takt up, {mode}", environment=MODES[mode])


def _large(field: Field, rows: int) -> Callable[[Server], float]:
    drawn, file = draw(field.task.description, rows), field.folder / f"rows.{_FORM}"
    write_file(_FORM, file, field.task.description, drawn)
    (request,) = requests_of(drawn[:_CHECKED_ROWS], _CHECKED_ROWS)
    right = offline_ways.right_answers(field.folder / DESCRIPTION, request)
    return lambda server: offline_ways.job(server, _FORM, file, rows, right)


def _small(server: Server, jobs: int) -> float:
    """Seconds until `count` consecutive single-row jobs were accepted."""
    model = server.place.subject
    rows = {"model": model.name, "inputs": [model.row]}
    with httpx.Client(base_url=f"http://127.0.0.1:{server.place.port}", timeout=30) as client:
        begun_s = time.perf_counter()
        for _ in range(jobs):
            client.post("/jobs", json=rows).raise_for_status()
        return time.perf_counter() - begun_s


def table(found: Mapping[str, Measured], rows: int, small: int) -> str:
    """Markdown: the medians, and the median of the ratios by round."""
    base = found[next(iter(MODES))]
    lines = [
        f"| mode | {rows:,} rows, rows/s | ÷ unsynced | a job of one row, ms to its 202 | ÷ unsynced |",
        "|---|---|---|---|---|",
    ]
    for mode, one in found.items():
        rate = rows / statistics.median(one.large_s)
        small_ms = 1000 * statistics.median(one.small_s) / small
        ratios = (_ratio(base.large_s, one.large_s), _ratio(one.small_s, base.small_s))
        lines.append(f"| {mode} | {rate:,.0f} | {ratios[0]:.2f} | {small_ms:.2f} | {ratios[1]:.2f} |")
    return "\n".join(lines)


def _ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
