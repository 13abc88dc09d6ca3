"""`python -m bench.bare model.json rows.npy --rows-a-call 100000`: the model alone, in a single process.

The program prints `ready` after loading and warm-up, waits for a line, predicts all rows, prints `done`, and
waits again. With `--sizes` it prints the rows a second of calls of those sizes instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.served_model import Served, load

_SIZE_S = 0.5
_WARM_ROWS = 1000


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=__doc__)
    parser.add_argument("description", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--rows-a-call", type=int, default=100_000)
    parser.add_argument("--sizes", help="a,b: rows a call")
    given = parser.parse_args(words)
    served, rows = load(given.description), np.load(given.rows)
    served.probabilities(rows[:_WARM_ROWS])
    if given.sizes:
        sizes = [int(size) for size in given.sizes.split(",")]
        print(json.dumps([[size, _rate(served, rows, size)] for size in sizes]))
        return 0
    print("ready", flush=True)
    sys.stdin.readline()
    for first in range(0, len(rows), given.rows_a_call):
        served.probabilities(rows[first : first + given.rows_a_call])
    print("done", flush=True)
    sys.stdin.readline()
    return 0


def _rate(served: Served, rows: np.ndarray, size: int) -> float:
    """Rows a second for calls of a size."""
    calls, begun_s = 0, time.perf_counter()
    while (elapsed_s := time.perf_counter() - begun_s) < _SIZE_S:
        served.probabilities(rows[:size])
        calls += 1
    return calls * size / elapsed_s


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
