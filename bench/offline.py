"""`python -m bench.offline --rows 1000000 --formats csv,parquet,arrow`: throughput for many rows.

Interleaved rounds of Takt's jobs, rivals' requests of 1,000 rows, and the bare model in as many processes as
Takt has workers. Rivals receive fewer rows; the compared figure is rows a second.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np

from bench import offline_ways, rivals, stored_runs
from bench.answers import Answer
from bench.commands import ended, say
from bench.environments import enter, versions
from bench.machine import Began
from bench.memory_sampling import peaks, watched
from bench.offline_results import BARE, OfflineResults, Passage, Rate
from bench.random_rows import MEDIA_TYPES, draw, requests_of, write_file
from bench.rivals import DESCRIPTION
from bench.rivals_side_by_side import Field, standing
from bench.servers import Server, run_within
from bench.subjects import ROOT, subject

SIZES = "1,4,16,64,256,1024,4096,16384,65536"
_ROWS_A_REQUEST = 1000
_WORKERS = 1  # of Takt, see bench/rivals/takt.py
_SIZES_LIMIT_S = 60.0

Way = Callable[[], Passage]


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    command = f"python -m bench.offline {' '.join(words)}".strip()
    return ended("bench.offline", lambda: stored_runs.report_and_keep(_measure(given, command), given.json))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.offline", description=__doc__)
    parser.add_argument("--model", default="iris", help="iris, classifier or heavy (iris)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of Takt and bare model (1000000)")
    parser.add_argument("--rival-rows", type=int, default=100_000, help="rows of the rivals (100000)")
    parser.add_argument("--formats", default="csv,parquet,arrow", help="of Takt's jobs")
    parser.add_argument(
        "--rivals", default="litserve,bentoml,mlserver,mosec", help="rivals besides Takt; '' for none"
    )
    parser.add_argument(
        "--sizes", default=SIZES, help=f"rows a call of the bare model; '' for none ({SIZES})"
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _measure(given: argparse.Namespace, command: str) -> OfflineResults:
    began = Began(command)
    wanted = [rivals.rival(name) for name in ("takt", *filter(None, given.rivals.split(",")))]
    entrants, skipped = enter(wanted, say)
    with standing(entrants, subject(given.model), say) as field:
        load = _prepared(field, given)
        passages = _rounds(_ways(field, load), given.rounds)
        rates = _rates(field, load, [int(size) for size in given.sizes.split(",") if size])
        runtimes = _runtimes(field.servers["takt"])
    return OfflineResults(
        **began.facts(versions(entrants)),
        model=given.model,
        rounds=given.rounds,
        ways=tuple(dict.fromkeys(one.way for one in passages)),
        passages=tuple(passages),
        rates=rates,
        runtimes=runtimes,
        skipped=skipped,
    )


@dataclass(frozen=True)
class _Load:
    """The rows in the form that each way needs."""

    rows: int
    files: Mapping[str, Path]  # by format
    shares: Sequence[Path]  # for the bare model, a file for each process
    requests: Sequence[Mapping[str, object]]
    right: Sequence[Answer]  # answers to the first rows


def _prepared(field: Field, given: argparse.Namespace) -> _Load:
    """Prepare everything outside the measurement. Raises ValueError for an unknown format."""
    description = field.task.description
    rows = draw(description, given.rows)
    files = {form: field.folder / f"rows.{form}" for form in given.formats.split(",")}
    for form, file in files.items():
        if form not in MEDIA_TYPES:
            raise ValueError(f"unknown format {form!r}; available: {', '.join(MEDIA_TYPES)}")
        write_file(form, file, description, rows)
    shares = [field.folder / f"rows-{number}.npy" for number in range(_WORKERS)]
    for share, part in zip(shares, np.array_split(rows, _WORKERS), strict=True):
        np.save(share, part)
    requests = list(requests_of(rows[: given.rival_rows], _ROWS_A_REQUEST))
    right = offline_ways.right_answers(field.folder / DESCRIPTION, requests[0])
    return _Load(given.rows, files, shares, requests, right)


def _ways(field: Field, load: _Load) -> list[Way]:
    """The ways of a round; ratios are relative to the first."""
    takt = field.servers["takt"]
    found: list[Way] = [lambda: _bare(field, load)]
    found += [lambda form=form: _job(takt, form, load) for form in load.files]  # type: ignore[misc]
    others = [server for server in field.servers.values() if server is not takt and server.rival.many_path]
    found += [lambda server=server: _requests(server, load) for server in others]  # type: ignore[misc]
    return found


def _rounds(found: Sequence[Way], rounds: int) -> list[Passage]:
    """Run A B C, then C B A, so that the order alternates."""
    passages: list[Passage] = []
    for number in range(rounds):
        for way in found if number % 2 == 0 else found[::-1]:
            passage = way()
            passages.append(replace(passage, round=number))
            say(f"round {number + 1}/{rounds}, {passage.way:<16} {passage.rows_per_s:>12,.0f} rows/s")
    return passages


def _bare(field: Field, load: _Load) -> Passage:
    took_s, usage = offline_ways.bare(field.folder / DESCRIPTION, load.shares)
    return Passage(0, BARE, load.rows, took_s, usage.cpu_s, usage.memory_bytes)


def _job(takt: Server, form: str, load: _Load) -> Passage:
    def run() -> float:
        return offline_ways.job(takt, form, load.files[form], load.rows, load.right)

    return _timed(takt, f"takt {form}", load.rows, run)


def _requests(server: Server, load: _Load) -> Passage:
    bodies = [server.rival.body(request) for request in load.requests]
    rows = len(bodies) * _ROWS_A_REQUEST
    return _timed(server, server.rival.name, rows, lambda: offline_ways.requests(server, bodies, load.right))


def _timed(server: Server, way: str, rows: int, run: Callable[[], float]) -> Passage:
    """Measure a passage, with the server's CPU and memory during it."""
    server.check()
    before = server.usage()
    with watched(server) as looks:
        took_s = run()
    after = server.usage()
    cpu_s = {part: after.cpu_s[part] - before.cpu_s.get(part, 0.0) for part in after.cpu_s}
    server.quiet_down()
    return Passage(0, way, rows, took_s, cpu_s, peaks(looks) or after.memory_bytes, tuple(looks))


def _rates(field: Field, load: _Load, wanted: Sequence[int]) -> tuple[Rate, ...]:
    """Rows a second of the bare model for these call sizes."""
    sizes = [str(size) for size in wanted if size <= load.rows]
    if not sizes:
        return ()
    place = (str(field.folder / DESCRIPTION), str(load.shares[0]))
    command = [sys.executable, "-m", "bench.bare", *place, "--sizes", ",".join(sizes)]
    said = run_within(command, ROOT, field.leash, _SIZES_LIMIT_S)
    return tuple(Rate(size, rows_per_s) for size, rows_per_s in json.loads(said))


def _runtimes(takt: Server) -> dict[str, tuple[Rate, ...]]:
    """Rows a second of each worker runtime by call size, from the worker's own warm-up measurement."""
    port, name = takt.place.port, takt.place.subject.name
    held = httpx.get(f"http://127.0.0.1:{port}/models/{name}").raise_for_status().json()["workers"][0]
    return {
        one["name"]: tuple(Rate(int(rows), rate) for rows, rate in one["rows_per_s"].items())
        for one in held["runtimes"]
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
