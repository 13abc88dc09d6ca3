"""`python -m bench.studies.gpu`: latency by batch size, for each precision and each way of copying rows.

The model is called in this process in the same way as in a worker; times are from the columns to the answer
on the host. Then online requests go through `takt up` on that device, alone and beside a job that keeps it
busy. Without a CUDA device the program prints a message and measures nothing; `--device cpu` measures a CPU,
without copying.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np

from bench import beside, stored_runs
from bench.commands import ended, say
from bench.machine import Began
from bench.studies.gpu_report import Call, GpuResults
from bench.subjects import built, subject
from shared.columns import Array, Columns
from shared.frameworks import Precision
from shared.frameworks.builtin import PytorchOptions
from shared.repository import ModelVersion
from worker.predictors import ModelRuntime
from worker.predictors.implementation import ModelFiles
from worker.predictors.pytorch import Copies, load

_WARM_UPS = 3
_GROWTH = 4
_SEED = 7
WAYS = {
    "plain": Copies(least_bytes=sys.maxsize),
    "pinned": Copies(pipelined=False, least_bytes=0),
    "pageable pieces": Copies(pinned=False, least_bytes=0),
    "pinned pieces": Copies(least_bytes=0),
}


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    if given.device != "cpu" and not _has_cuda():
        print(
            "bench.studies.gpu: there is no CUDA device here (or torch is a CPU build); nothing was measured"
        )
        return 0
    command = f"python -m bench.studies.gpu {' '.join(words)}".strip()
    failed = ended(
        "bench.studies.gpu", lambda: stored_runs.report_and_keep(_measure(given, command), given.json)
    )
    return failed or (beside.main(_beside(given)) if given.job_rows else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.studies.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu (cuda:0)")
    parser.add_argument("--model", default="heavy", help="classifier or heavy (heavy)")
    parser.add_argument("--most-rows", type=int, default=262_144, help="maximum rows of a call (262144)")
    parser.add_argument("--calls", type=int, default=20, help="calls of each size in each round (20)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (3)")
    parser.add_argument("--job-rows", type=int, default=10_000_000, help="beside requests, or 0 (10000000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _beside(given: argparse.Namespace) -> list[str]:
    return ["--device", given.device, "--model", given.model, "--rows", str(given.job_rows)]


def _measure(given: argparse.Namespace, command: str) -> GpuResults:
    """Raises ValueError if the model is not a network."""
    began = Began(command)
    version = built(subject(given.model))
    if not isinstance(version.spec.options, PytorchOptions):
        raise ValueError(f"{given.model} is not a network")
    calls = []
    for number in range(given.rounds):
        for precision, way in ways(given.device):
            runtime = _runtime(version, given.device, precision, WAYS[way])
            for rows in sizes(given.most_rows):
                took_s = _took_s(runtime, _columns(version, rows), given.calls)
                calls.append(Call(number, precision.value, way, rows, tuple(took_s)))
            say(f"round {number + 1}/{given.rounds}, {precision}, {way}")
    return GpuResults(
        **began.facts(),
        model=given.model,
        device=given.device,
        device_name=_name(given.device),
        calls=tuple(calls),
    )


def ways(device: str) -> Iterator[tuple[Precision, str]]:
    """Precisions and ways to compare; a CPU has no copying and no float16."""
    if device == "cpu":
        yield from product((Precision.FLOAT32, Precision.BFLOAT16), ("plain",))
    else:
        yield from product(Precision, WAYS)


def _runtime(version: ModelVersion, device: str, precision: Precision, copies: Copies) -> ModelRuntime:
    options = version.spec.options.model_copy(update={"precision": precision})
    spec = version.spec.model_copy(update={"options": options})
    return load(spec, ModelFiles(version.verify(), version), device, 1, copies=copies)


def sizes(most_rows: int) -> Iterator[int]:
    rows = 1
    while rows < most_rows:
        yield rows
        rows *= _GROWTH
    yield most_rows


def _columns(version: ModelVersion, rows: int) -> Columns:
    drawn = np.random.default_rng(_SEED)

    def column(shape: tuple[int, ...]) -> Array:
        return drawn.normal(size=(rows, *shape)).astype(np.float32)

    return {one.name: column(one.shape) for one in version.spec.inputs}


def _took_s(runtime: ModelRuntime, columns: Columns, calls: int) -> Iterator[float]:
    for _ in range(_WARM_UPS):
        runtime(columns)
    for _ in range(calls):
        begun_s = time.perf_counter()
        runtime(columns)
        yield time.perf_counter() - begun_s


def _name(device: str) -> str:
    """The vendor's name of the device; empty for a CPU, which the machine's facts contain."""
    import torch

    return "" if device == "cpu" else torch.cuda.get_device_name(device)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
