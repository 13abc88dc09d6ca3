"""`python -m bench.studies.upload_memory --rows 1000000 --format csv`: memory of a large job.

Takt is started by `takt up`. A small job runs first. The gateway's memory is compared with its memory at
rest, and the worker's with its memory after the small job.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from tempfile import TemporaryFile
from typing import IO, Any

import httpx
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from bench.commands import ended
from bench.memory_sampling import EVERY_S, Look, watched
from bench.rivals import takt
from bench.rivals_side_by_side import alone
from bench.servers import Server
from bench.subjects import subject

PARTS = ("gateway", "worker")
_COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
_PIECE_ROWS = 10_000
_GROUP_ROWS = 1_000_000
_SMALL_ROWS = 1000
_CURVE_LINES = 30
_MIB = 2**20


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.studies.upload_memory", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the large job (1000000)")
    parser.add_argument("--format", choices=_BODIES, default="csv", help="format of its file (csv)")
    parser.add_argument("--limit-s", type=float, default=3600, help="time limit of a job")
    given = parser.parse_args(words)
    return ended("bench.studies.upload_memory", lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    with alone(takt.RIVAL, subject("iris")) as server:
        _measure(server, given.format, given.rows, given.limit_s)


def _measure(server: Server, form: str, rows: int, limit_s: float) -> None:
    url = f"http://127.0.0.1:{server.place.port}"
    with httpx.Client(base_url=url, timeout=limit_s) as client:
        at_rest = server.usage().memory_bytes
        _run_job(client, form, _SMALL_ROWS, limit_s)
        before = {"gateway": at_rest["gateway"], "worker": server.usage().memory_bytes["worker"]}
        with watched(server) as looks:
            uploaded_s, ended_s = _run_job(client, form, rows, limit_s)
    print(f"{rows} rows of {form}: read within {uploaded_s:.1f} s, answered within {ended_s:.1f} s")
    _print_curves(looks, before)


def _run_job(client: httpx.Client, form: str, rows: int, limit_s: float) -> tuple[float, float]:
    """Returns the seconds until the end of the upload, and of the job. Raises TimeoutError."""
    media_type, body = _BODIES[form]
    began_s = time.monotonic()
    answer = client.post(
        "/jobs", params={"model": "iris"}, content=body(rows), headers={"Content-Type": media_type}
    )
    answer.raise_for_status()
    uploaded_s = time.monotonic() - began_s
    while (took_s := time.monotonic() - began_s) < limit_s:
        job = client.get(answer.headers["Location"]).raise_for_status().json()
        if job["state"] in ("succeeded", "failed", "canceled"):
            assert (job["state"], job["rows_succeeded"]) == ("succeeded", rows), job
            return uploaded_s, took_s
        time.sleep(EVERY_S)
    raise TimeoutError(f"{rows} rows were not answered within {limit_s:g} s")


def _csv(rows: int) -> Iterator[bytes]:
    yield (",".join(_COLUMNS) + "\n").encode()
    lines = [",".join(map(str, row)).encode() + b"\n" for row in _drawn().tolist()]
    for first in range(0, rows, _PIECE_ROWS):
        yield b"".join(lines[: min(_PIECE_ROWS, rows - first)])


def _parquet(rows: int) -> Iterator[bytes]:
    """Write Parquet with row groups of the common writers' size."""
    yield from _written(rows, parquet.ParquetWriter, _GROUP_ROWS)


def _arrow(rows: int) -> Iterator[bytes]:
    yield from _written(rows, pa.ipc.new_stream, _PIECE_ROWS)


def _written(rows: int, writer: Callable[[IO[bytes], pa.Schema], Any], most: int) -> Iterator[bytes]:
    """Write a file in tables of limited size. Any: the writers have no common type."""
    drawn = np.resize(_drawn(), (min(rows, most), len(_COLUMNS)))
    table = pa.table(dict(zip(_COLUMNS, drawn.T, strict=True)))
    with TemporaryFile() as file:
        with writer(file, table.schema) as sink:
            for first in range(0, rows, most):
                sink.write_table(table.slice(0, rows - first))
        file.seek(0)
        while piece := file.read(_MIB):
            yield piece


def _drawn() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    drawn: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    drawn = np.random.default_rng(5).uniform(0.0, 8.0, (_PIECE_ROWS, len(_COLUMNS))).round(2)
    return drawn


_BODIES: Mapping[str, tuple[str, Callable[[int], Iterator[bytes]]]] = {
    "csv": ("text/csv", _csv),
    "parquet": ("application/vnd.apache.parquet", _parquet),
    "arrow": ("application/vnd.apache.arrow.stream", _arrow),
}


def _print_curves(looks: Sequence[Look], before: Mapping[str, int]) -> None:
    print(f"{'s':>7} " + " ".join(f"{part + ' MiB':>14} {'above':>7}" for part in PARTS))
    for look in looks[:: max(1, len(looks) // _CURVE_LINES)]:
        cells = [_cells(look.memory_bytes[part], before[part]) for part in PARTS]
        print(f"{look.at_s:7.1f} " + " ".join(cells))
    for part in PARTS:
        peak_bytes = max((look.memory_bytes[part] for look in looks), default=before[part])
        above = (peak_bytes - before[part]) / _MIB
        print(f"peak of the {part}: {above:.0f} MiB above {before[part] / _MIB:.0f}")


def _cells(memory_bytes: int, before_bytes: int) -> str:
    return f"{memory_bytes / _MIB:14.0f} {(memory_bytes - before_bytes) / _MIB:7.0f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
