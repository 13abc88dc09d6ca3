"""`python -m tests.fuzz`: fuzz a separate Takt for some minutes, over HTTP and gRPC.

Exit status 1 if there are findings.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.fuzz.rpcs import Findings, fuzz_rpcs
from tests.fuzz.schema import fuzz
from tests.support.servers import Server, free_port, valkey_binary
from tests.support.stack import running, wait_until_ready


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=200, help="for each operation (default: 200)")
    parser.add_argument("--cases", type=int, default=20_000, help="of gRPC (default: 20,000)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        code, said, found = _fuzz(Path(folder), options)
    sys.stdout.write(f"{said}\n\ngRPC: {found}\nseed {options.seed}\n")
    return code or int(bool(found.unexplained))


def _fuzz(folder: Path, options: argparse.Namespace) -> tuple[int, str, Findings]:
    port, seed = free_port(), options.seed
    with Server(valkey_binary(), folder) as queue, running(queue.url, folder) as stack:
        stack.gateway(grpc_port=str(port))
        stack.worker("worker")
        wait_until_ready(stack)
        found = fuzz_rpcs(f"127.0.0.1:{port}", cases=options.cases, seed=seed)
        return (
            *fuzz(
                stack.url, examples=options.examples, seed=seed, folder=folder, limit_s=7200, versions=True
            ),
            found,
        )


if __name__ == "__main__":
    sys.exit(main())
