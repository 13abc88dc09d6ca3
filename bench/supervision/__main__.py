"""`python -m bench.supervision restarts | memory | addition | pipelines`: a supervisor and its workers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.commands import ended
from bench.supervision import measures


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.supervision", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="MEASUREMENT")
    restarts = commands.add_parser("restarts", help=measures.restarts.__doc__)
    restarts.add_argument("--kills", type=int, default=20)
    restarts.set_defaults(measure=lambda given: measures.restarts(given.kills))
    memory = commands.add_parser("memory", help=measures.memory.__doc__)
    memory.add_argument("--workers", type=int, default=4)
    memory.add_argument("--mebibytes", type=int, default=1024)
    memory.add_argument("--rounds", type=int, default=3)
    memory.set_defaults(measure=lambda given: measures.memory(given.workers, given.mebibytes, given.rounds))
    addition = commands.add_parser("addition", help=measures.additions.__doc__)
    addition.add_argument("--share", type=float, default=0.3)
    addition.add_argument("--rounds", type=int, default=5)
    addition.set_defaults(measure=lambda given: measures.additions(given.share, given.rounds))
    pipelines = commands.add_parser("pipelines", help=measures.pipelines.__doc__)
    pipelines.add_argument("--count", type=int, default=200)
    pipelines.set_defaults(measure=lambda given: measures.pipelines(given.count))
    given = parser.parse_args(words)
    return ended("bench.supervision", lambda: print(given.measure(given)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
