"""`python -m bench.integrity --rows 10000000`: the cost of the digests of stored rows and results.

Two Takt stacks, one of them without digests of large objects, run side by side and receive jobs alternately
in interleaved rounds. The bench also compares hash functions on objects of a chunk's size, in a single thread
and in two threads at once; the latter shows whether a function holds the GIL.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from blake3 import blake3

from bench import offline_ways
from bench.answers import Answer
from bench.commands import ended, say
from bench.environments import entrant
from bench.random_rows import draw, requests_of, write_file
from bench.rivals import DESCRIPTION, takt
from bench.rivals_side_by_side import Field, standing
from bench.servers import Server
from bench.subjects import ROOT, subject

WITH, WITHOUT = "takt", "without"
_SIZES_BYTES = (4 * 2**10, 64 * 2**10, 2 * 2**20, 8 * 2**20)
_RUNS = 9
_AT_ONCE = 2
_FORM = "arrow"
_CHECKED_ROWS = 100

Hash = Callable[[bytes], object]


@dataclass(frozen=True)
class Passage:
    """A job on either stack."""

    way: str
    took_s: float
    cpu_s: float


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.integrity", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of a job; 0: hash functions only")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    given = parser.parse_args(words)
    return ended("bench.integrity", lambda: _run(given.rows, given.rounds))


def _run(rows: int, rounds: int) -> None:
    for line in hash_report():
        print(line)
    if rows:
        for line in _report(_measured(rows, rounds)):
            print(line)


def hashes() -> dict[str, Hash]:
    """Cryptographic hash functions; Takt uses BLAKE3 for stored objects."""
    found: dict[str, Hash] = {name: getattr(hashlib, name) for name in ("sha256", "blake2b", "sha512")}
    return found | {"blake3": blake3}


def hash_report() -> Iterator[str]:
    yield f"| hash | {' | '.join(f'{size // 1024} KiB' for size in _SIZES_BYTES)} | two threads, 2 MiB |"
    yield f"|---|{'---|' * (len(_SIZES_BYTES) + 1)}"
    for name, one in hashes().items():
        rates = [f"{_bytes_per_s(one, size) / 1e9:.2f} GB/s" for size in _SIZES_BYTES]
        both = _bytes_per_s_at_once(one, _SIZES_BYTES[2])
        yield f"| {name} | {' | '.join(rates)} | {both / 1e9:.2f} GB/s |"


def _bytes_per_s(one: Hash, size_bytes: int) -> float:
    data, times = os.urandom(size_bytes), max(1, 2**22 // size_bytes)
    return size_bytes * times / min(_took_s(one, data, times) for _ in range(_RUNS))


def _bytes_per_s_at_once(one: Hash, size_bytes: int) -> float:
    data, times = os.urandom(size_bytes), 16
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        begun_s = time.perf_counter()
        list(threads.map(lambda _: _took_s(one, data, times), range(_AT_ONCE)))
        return size_bytes * times * _AT_ONCE / (time.perf_counter() - begun_s)


def _took_s(one: Hash, data: bytes, times: int) -> float:
    begun_s = time.perf_counter()
    for _ in range(times):
        one(data)
    return time.perf_counter() - begun_s


def _measured(rows: int, rounds: int) -> list[Passage]:
    with _both() as field:
        description = field.task.description
        drawn = draw(description, rows)
        file = field.folder / f"rows.{_FORM}"
        write_file(_FORM, file, description, drawn)
        request = next(requests_of(drawn[:_CHECKED_ROWS], _CHECKED_ROWS))
        right = offline_ways.right_answers(field.folder / WITH / DESCRIPTION, request)
        run = partial(_passage, field, file, rows, right)
        for way in (WITH, WITHOUT):
            run(way)  # warm-up: the first job of a process takes longer
        return [
            run(way)
            for number in range(rounds)
            for way in ((WITH, WITHOUT) if number % 2 else (WITHOUT, WITH))
        ]


def _passage(field: Field, file: Path, rows: int, right: Sequence[Answer], way: str) -> Passage:
    server = field.servers[way]
    server.quiet_down()
    before_s = _cpu_s(server)
    took_s = offline_ways.job(server, _FORM, file, rows, right)
    passage = Passage(way, took_s, _cpu_s(server) - before_s)
    say(f"{way}: {took_s:.1f} s, {passage.cpu_s:.1f} s of CPU")
    return passage


@contextmanager
def _both() -> Iterator[Field]:
    paths = os.pathsep.join(map(str, (ROOT / "bench" / "undigested", ROOT, ROOT / "client")))
    bare = replace(takt.RIVAL, name=WITHOUT, environment={"PYTHONPATH": paths})
    entrants = [entrant(rival, say) for rival in (replace(takt.RIVAL, name=WITH), bare)]
    with standing(entrants, subject("iris"), say) as field:
        yield field


def _cpu_s(server: Server) -> float:
    return sum(server.usage().cpu_s.values())


def _report(passages: Sequence[Passage]) -> Iterator[str]:
    yield "\n| job | seconds | CPU seconds |\n|---|---|---|"
    for way in (WITHOUT, WITH):
        own = [one for one in passages if one.way == way]
        named = "with digests" if way == WITH else "without"
        took_s, cpu_s = (statistics.median(values) for values in zip(*_values(own), strict=True))
        yield f"| {named} | {took_s:.2f} | {cpu_s:.2f} |"
    pairs = _pairs(passages)
    took = statistics.median(one.took_s / other.took_s - 1 for one, other in pairs)
    cpu = statistics.median(one.cpu_s / other.cpu_s - 1 for one, other in pairs)
    yield f"\nMedian of {len(pairs)} pairs: {took:+.1%} of the time, {cpu:+.1%} of the CPU."


def _values(passages: Sequence[Passage]) -> list[tuple[float, float]]:
    return [(one.took_s, one.cpu_s) for one in passages]


def _pairs(passages: Sequence[Passage]) -> list[tuple[Passage, Passage]]:
    """Pairs of jobs with and without digests, by round."""
    with_, without = ([one for one in passages if one.way == way] for way in (WITH, WITHOUT))
    return list(zip(with_, without, strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
