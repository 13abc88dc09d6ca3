"""`python -m bench.studies.protocols --rounds 5`: the protocols of a gateway side by side, interleaved.

    batch   64 rows x 10 numbers of the classifier: `/predict/batch` in JSON, `/v2/…/infer` in binary FP32
    single  a row of iris at 64 connections: `/predict`, gRPC's ModelInfer, `/v2/…/infer` in JSON

h2load sends all of it; gRPC is HTTP/2 with a framed body. Each request is first sent once and its answer
checked. Ratios are taken within a round, to the first
protocol of the group.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.commands import ended
from bench.rivals import takt
from bench.rivals_side_by_side import alone
from bench.servers import Server
from bench.spreads import ratios, short, spread
from bench.subjects import SUBJECTS, subject
from bench.tables import table
from stack.valkey import free_port

_DONE = re.compile(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded")
_ROWS = 64
_HEADER = ("way", "rows/s", "ratio", "gateway CPU µs/request")


@dataclass(frozen=True)
class Way:
    """A kind of request. `rows`: of each request."""

    name: str
    url: str
    headers: tuple[str, ...]
    body: bytes
    rows: int = 1
    is_http_2: bool = False


@dataclass(frozen=True)
class Turn:
    """A turn's throughput, and the CPU time of the gateway per request."""

    rows_per_s: float
    gateway_us: float


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.studies.protocols", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of each turn (2)")
    parser.add_argument("--groups", nargs="+", choices=("batch", "single"), default=("batch", "single"))
    given = parser.parse_args(words)
    return ended("bench.studies.protocols", lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    if "batch" in given.groups:
        with _standing("classifier") as (server, _):
            _measure(server, _batches(server), 64, given)
    if "single" in given.groups:
        with _standing("iris") as (server, grpc_port):
            _measure(server, _singles(server, grpc_port), 64, given)


@contextmanager
def _standing(model: str) -> Iterator[tuple[Server, int]]:
    """Takt with a model, and its port of gRPC."""
    port = free_port()
    environment = {**takt.RIVAL.environment, "TAKT_GRPC_PORT": str(port)}
    with alone(replace(takt.RIVAL, environment=environment), subject(model)) as server:
        yield server, port


def _batches(server: Server) -> list[Way]:
    rows = np.random.default_rng(1).uniform(-1, 1, (_ROWS, 10)).astype("<f4")
    base = f"http://127.0.0.1:{server.place.port}"
    text = json.dumps({"inputs": rows.tolist()}).encode()  # the same numbers: FP32 has 9 digits or more
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "features",
                    "shape": rows.shape,
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": rows.nbytes},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    return [
        Way(
            "JSON batch",
            f"{base}/models/classifier/predict/batch",
            ("content-type: application/json",),
            text,
            _ROWS,
        ),
        Way(
            "binary infer",
            f"{base}/v2/models/classifier/infer",
            (f"inference-header-content-length: {len(head)}", "content-type: application/octet-stream"),
            head + rows.tobytes(),
            _ROWS,
        ),
    ]


def _singles(server: Server, grpc_port: int) -> list[Way]:
    from api.rpc import inference_pb2 as pb

    row = next(one for one in SUBJECTS if one.name == "iris").row
    values = np.array([list(row.values())], "<f8")
    tensor = pb.ModelInferRequest.InferInputTensor(name="all", datatype="FP64", shape=values.shape)
    message = pb.ModelInferRequest(
        model_name="iris", inputs=[tensor], raw_input_contents=[values.tobytes()]
    ).SerializeToString()
    text = {"inputs": [{"name": "all", "shape": [1, 4], "datatype": "FP64", "data": values.ravel().tolist()}]}
    base, kind = f"http://127.0.0.1:{server.place.port}", ("content-type: application/json",)
    return [
        Way("/predict", f"{base}/predict", kind, server.body),
        Way(
            "gRPC ModelInfer",
            f"http://127.0.0.1:{grpc_port}/inference.GRPCInferenceService/ModelInfer",
            ("content-type: application/grpc", "te: trailers"),
            b"\0" + len(message).to_bytes(4, "big") + message,
            is_http_2=True,
        ),
        Way("/v2 infer", f"{base}/v2/models/iris/infer", kind, json.dumps(text).encode()),
    ]


def _measure(server: Server, ways: Sequence[Way], connections: int, given: argparse.Namespace) -> None:
    turns: dict[str, list[Turn]] = {way.name: [] for way in ways}
    for way in ways:
        _check(way)
        _fire(way, connections, 0.5)  # warm
    for number in range(given.rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            before = server.usage()
            done = _fire(way, connections, given.seconds)
            cpu_s = server.usage().cpu_s["gateway"] - before.cpu_s["gateway"]
            turns[way.name].append(Turn(done * way.rows / given.seconds, cpu_s * 1e6 / done))
    first = [turn.rows_per_s for turn in turns[ways[0].name]]
    print(
        f"\n{connections} connections\n\n{table(_HEADER, [_line(*one, first) for one in turns.items()])}",
        flush=True,
    )


def _line(name: str, turns: Sequence[Turn], first: Sequence[float]) -> tuple[str, ...]:
    rates = [turn.rows_per_s for turn in turns]
    found = (spread(rates), ratios(rates, first), spread(turn.gateway_us for turn in turns))
    return (name, *(one.shown(short) if one is not None else "" for one in found))


def _check(way: Way) -> None:
    """Send the request once. Raises ValueError unless it is answered; gRPC's status is in its trailers."""
    with tempfile.NamedTemporaryFile() as body:
        Path(body.name).write_bytes(way.body)
        said = subprocess.run(
            [
                *("curl", "-sS", "-o", "/dev/null", "-D", "-", "--max-time", "10"),
                *(("--http2-prior-knowledge",) if way.is_http_2 else ()),
                *(word for header in way.headers for word in ("-H", header)),
                *("--data-binary", f"@{body.name}", way.url),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.lower()
    if " 200" not in said or (way.is_http_2 and "grpc-status: 0" not in said):
        raise ValueError(f"{way.name} is not answered:\n{said}")


def _fire(way: Way, connections: int, seconds: float) -> int:
    """Run a closed loop. → the number of requests. Raises ValueError if a request fails."""
    with tempfile.NamedTemporaryFile() as body:
        Path(body.name).write_bytes(way.body)
        said = subprocess.run(
            [
                *("h2load", "-t1", "-m1", "-c", str(connections), "-D", f"{round(seconds * 1000)}ms"),
                *(() if way.is_http_2 else ("--h1",)),
                *(word for header in way.headers for word in ("-H", header)),
                *("-d", body.name, way.url),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = _DONE.search(said)
    if found is None or found[1] != found[2]:
        raise ValueError(f"requests of {way.name} failed:\n{said}")
    return int(found[2])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
