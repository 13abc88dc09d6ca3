"""`python -m tests.chaos`: kill parts of a loaded Takt at random, and verify its guarantees.

Exit status 1 if a row was lost, duplicated or wrong, if a change of the deployment was not whole, or if Takt
did not recover from a fault.
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

import msgspec

from tests.chaos.plan import LIFE_ROUND, ROUND
from tests.chaos.report import Run, report
from tests.chaos.running import Terms, run


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="takt-chaos-"))
    terms = Terms(
        seed=given.seed,
        minutes=given.minutes,
        least_faults=given.faults,
        workers=given.workers,
        round_of=LIFE_ROUND if given.life else ROUND,
        in_each_step=given.life,
    )
    try:
        done = run(terms, folder, _say)
    except KeyboardInterrupt:
        _say(f"interrupted; all child programs have ended; the folder is kept: {folder}")
        return 130
    print(f"\n{report(done)}")
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(done), indent=2) + b"\n")
    _tidy_up(done, folder)
    return 0 if done.kept_its_promise else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="what faults and loads follow (a new one)"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of faults (10)")
    parser.add_argument("--faults", type=int, default=30, help="the least, where time allows (30)")
    parser.add_argument("--workers", type=int, default=2, help="how many (2)")
    parser.add_argument(
        "--life", action="store_true", help="SIGKILL in each step of a change of the served versions"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the run goes, too")
    return parser


def _tidy_up(done: Run, folder: Path) -> None:
    """Keep logs and data if a failure needs investigation."""
    if done.kept_its_promise and not done.requests.unexplained:
        shutil.rmtree(folder)
    else:
        _say(f"logs and data: {folder}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
