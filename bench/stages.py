"""`python -m bench.stages`: time of a request by stage.

A connection among them is the probe. It measures the whole time of each request and reads the time of each
stage from Server-Timing. The remainder is shown as `rest`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import loads, stored_runs
from bench.commands import ended, say
from bench.environments import entrant
from bench.machine import Began
from bench.plan import Plan
from bench.results import Stages
from bench.rivals import takt
from bench.rivals_side_by_side import standing
from bench.running import Session, probe, settle
from bench.stages_report import StageResults
from bench.subjects import subject


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    command = f"python -m bench.stages {' '.join(words)}".strip()
    return ended("bench.stages", lambda: stored_runs.report_and_keep(_measure(given, command), given.json))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=__doc__)
    parser.add_argument("--models", default="iris,classifier", help="a,b of iris, classifier, heavy")
    parser.add_argument("--connections", default="1,16,64,256", help="a,b: connections (1,16,64,256)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all loads (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _measure(given: argparse.Namespace, command: str) -> StageResults:
    began = Began(command)
    counts = tuple(int(count) for count in given.connections.split(","))
    plan = Plan((takt.RIVAL.name,), counts, given.rounds, seconds=1.0, models=tuple(given.models.split(",")))
    found = [stages for model in plan.models for stages in _stages_of(plan, model)]
    return StageResults(**began.facts(), rounds=plan.rounds, stages=tuple(found))


def _stages_of(plan: Plan, model: str) -> Iterator[Stages]:
    """Raises the errors of `standing` and `probe`."""
    with standing([entrant(takt.RIVAL, say)], subject(model), say) as field:
        session = Session(field, loads.choose(None), plan)
        settle(session)
        [server] = field.servers.values()
        for number in range(plan.rounds):
            for count in plan.connections if number % 2 == 0 else plan.connections[::-1]:
                if stages := probe(session, server, count):
                    say(f"{model}, round {number + 1}, {count:>3}: {stages.answers} answers")
                    yield stages


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
