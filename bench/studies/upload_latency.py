"""`python -m bench.studies.upload_latency --bytes 1000000000`: latency of /predict during a large CSV upload.

Takt is started by `takt up` and receives a few requests a second throughout. A round has three turns:

    alone     no other load
    parsing   a CSV is read, cast and checked (`validate_only`); the worker only answers the requests
    job       the same CSV as a job: the rows are also stored, and the worker runs them

The upload is a separate process; all processes share this machine's cores. Ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.synchronize import Event

import httpx
import numpy as np

from bench.commands import ended
from bench.rivals import takt
from bench.rivals_side_by_side import alone
from bench.samples import percentile
from bench.servers import Server
from bench.spreads import ratios, short, spread
from bench.steady_load import Steady
from bench.subjects import subject
from bench.tables import table

TURNS = ("alone", "parsing", "job")
_HEADER = b"sepal_length,sepal_width,petal_length,petal_width\n"
_PIECE_ROWS = 10_000
_LIMIT_S = 600.0
_START_S = 30.0


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.studies.upload_latency", description=__doc__)
    parser.add_argument("--bytes", type=int, default=1_000_000_000, help="size of the CSV (1000000000)")
    parser.add_argument("--rate", type=float, default=30.0, help="/predict calls a second (30)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone-s", type=float, default=15.0, help="duration of a turn without upload (15)")
    parser.add_argument("--turns", nargs="+", choices=TURNS[1:], default=TURNS[1:], help="besides `alone`")
    given = parser.parse_args(words)
    return ended("bench.studies.upload_latency", lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    with alone(takt.RIVAL, subject("iris")) as server:
        _measure(server, Steady(server, given.rate), given)


def _measure(server: Server, load: Steady, given: argparse.Namespace) -> None:
    turns = ("alone", *given.turns)
    p99s_ms: dict[str, list[float]] = {turn: [] for turn in turns}
    p50s_ms: dict[str, list[float]] = {turn: [] for turn in turns}
    _alone(load, 2.0)  # warm
    for number in range(given.rounds):
        for turn in turns if number % 2 == 0 else reversed(turns):
            began_s = time.monotonic()
            took_ms = sorted(
                _alone(load, given.alone_s) if turn == "alone" else _beside(server, load, given.bytes, turn)
            )
            p50s_ms[turn].append(percentile(took_ms, 50) or 0.0)
            p99s_ms[turn].append(percentile(took_ms, 99) or 0.0)
            figures = f"p50 {p50s_ms[turn][-1]:.1f} ms, p99 {p99s_ms[turn][-1]:.1f} ms of {len(took_ms)}"
            print(f"round {number + 1}, {turn}: {figures} in {time.monotonic() - began_s:.1f} s", flush=True)
            server.quiet_down()
    print(f"\n{_figures(p50s_ms, p99s_ms)}")


def _alone(load: Steady, seconds: float) -> list[float]:
    end_s = time.monotonic() + seconds
    return load.times_ms(lambda: time.monotonic() < end_s)


def _beside(server: Server, load: Steady, size_bytes: int, turn: str) -> list[float]:
    """Request times while a CSV was read; its job is then deleted. Raises OSError if the upload failed."""
    url = f"http://127.0.0.1:{server.place.port}"
    context = multiprocessing.get_context(
        "spawn"
    )  # no fork, which would share this process's threads and connections
    sending = context.Event()
    upload = context.Process(target=_upload, args=(url, size_bytes, turn == "parsing", sending), daemon=True)
    upload.start()
    if not sending.wait(_START_S):
        raise OSError("the upload did not begin")
    try:
        took_ms = load.times_ms(upload.is_alive)
    finally:
        upload.terminate()
        upload.join()
    if upload.exitcode:
        raise OSError(f"the upload ended with {upload.exitcode}")
    _remove_jobs(url)
    return took_ms


def _upload(url: str, size_bytes: int, validate_only: bool, sending: Event) -> None:
    """The function of the upload process."""
    params = {"model": "iris", "validate_only": str(validate_only).lower()}
    headers = {"Content-Type": "text/csv"}
    with httpx.Client(base_url=url, timeout=_LIMIT_S) as client:
        client.post(
            "/jobs", params=params, content=_csv(size_bytes, sending), headers=headers
        ).raise_for_status()


def _csv(size_bytes: int, sending: Event) -> Iterator[bytes]:
    drawn = np.random.default_rng(5).uniform(0.0, 8.0, (_PIECE_ROWS, 4)).round(2).tolist()
    piece = b"".join(",".join(map(str, row)).encode() + b"\n" for row in drawn)
    yield _HEADER
    sending.set()
    for _ in range(0, size_bytes, len(piece)):
        yield piece


def _remove_jobs(url: str) -> None:
    with httpx.Client(base_url=url, timeout=_LIMIT_S) as client:
        for job in client.get("/jobs").raise_for_status().json()["jobs"]:
            path = job["links"]["self"]
            client.post(f"{path}/cancel")
            while client.delete(path).status_code == httpx.codes.CONFLICT:
                time.sleep(0.1)


def _figures(p50s_ms: Mapping[str, Sequence[float]], p99s_ms: Mapping[str, Sequence[float]]) -> str:
    """Median (minimum-maximum) of the rounds."""
    rows = []
    for turn, p99_ms in p99s_ms.items():
        found = (spread(p50s_ms[turn]), spread(p99_ms), ratios(p99_ms, p99s_ms["alone"]))
        rows.append([turn, *(one.shown(short) if one else "-" for one in found)])
    return table(["turn", "p50 ms", "p99 ms", "× alone's p99"], rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
