"""`python -m tests.powercut`: repeated power cuts of a loaded Takt in each durability mode.

Exit status 1: durable data was lost, the remaining data is inconsistent, or the stack did not start without
help.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.powercut.running import Run, run

MODES = ("memory", "disk")


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    root = Path(tempfile.mkdtemp(prefix="takt-powercut-"))
    done = [_mode(mode, given, root) for mode in given.modes.split(",")]
    print("\n".join(one.line() for one in done))
    faults = [f"{one.durability}: {fault}" for one in done for fault in one.faults]
    print("\n".join(faults))
    if not faults:
        shutil.rmtree(root)
    return 1 if faults else 0


def _mode(mode: str, given: argparse.Namespace, root: Path) -> Run:
    folder = root / mode
    folder.mkdir()
    return run(mode, given.cuts, folder, given.seed, _say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.powercut", description=__doc__)
    parser.add_argument("--cuts", type=int, default=20, help="cuts in each mode (20)")
    parser.add_argument("--modes", default=",".join(MODES), help="values of TAKT_DURABILITY (memory,disk)")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="seed of the times (random)"
    )
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
