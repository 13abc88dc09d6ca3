"""`python -m tests.fuzz`: fuzz a separate Takt for some minutes. Exit status 1 if there are findings."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.fuzz.schema import fuzz
from tests.support.servers import Server, valkey_binary
from tests.support.stack import running, wait_until_ready


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=200, help="for each operation (default: 200)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        code, said = _fuzz(Path(folder), options.examples, options.seed)
    sys.stdout.write(f"{said}\nseed {options.seed}\n")
    return code


def _fuzz(folder: Path, examples: int, seed: int) -> tuple[int, str]:
    with Server(valkey_binary(), folder) as queue, running(queue.url, folder) as stack:
        stack.gateway()
        stack.worker("worker")
        wait_until_ready(stack)
        return fuzz(stack.url, examples=examples, seed=seed, folder=folder, limit_s=7200, versions=True)


if __name__ == "__main__":
    sys.exit(main())
