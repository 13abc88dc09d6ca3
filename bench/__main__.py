"""`python -m bench`: measure the rivals side by side, print the report, and store the run as JSON.

`python -m bench report FILE.json …` renders the report of stored runs; `--into PAGE.md` writes it to a page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import loads, rivals, stored_runs
from bench.commands import ended, say
from bench.environments import enter, versions
from bench.machine import Began
from bench.plan import Plan
from bench.results import Results
from bench.running import run
from bench.subjects import subject

DEFAULT_RIVALS = "guide,celery_tasks,litserve,bentoml,mosec,takt"


def main(words: Sequence[str]) -> int:
    if words[:1] == ["report"]:
        return stored_runs.main(words[1:])
    given = _parser().parse_args(words)
    command = f"python -m bench {' '.join(words)}".strip()
    return ended("bench", lambda: stored_runs.report_and_keep(_measure(given, command), given.json))


def _measure(given: argparse.Namespace, command: str) -> Results:
    """Raises ValueError for invalid options, and the errors of `run`."""
    began, wanted = Began(command), _plan(given)
    chosen = [rivals.rival(name) for name in wanted.rivals]
    subjects = [subject(name) for name in wanted.models]
    load = loads.choose(given.load)
    entrants, skipped = enter(chosen, say)
    plan = replace(wanted, rivals=tuple(one.rival.name for one in entrants))
    say(f"about {plan.estimate_s() / 60:.1f} minutes; load: {load.about}")
    seen = [run(plan, entrants, one, load, say) for one in subjects]
    return Results(
        **began.facts(versions(entrants)),
        load=load.about,
        plan=plan,
        rounds=tuple(round_ for rounds, _ in seen for round_ in rounds),
        stages=tuple(stages for _, found in seen for stages in found),
        skipped=skipped,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rivals", default=DEFAULT_RIVALS, help=f"a,b; ratios are relative to the first ({DEFAULT_RIVALS})"
    )
    parser.add_argument("--models", help="a,b of iris, classifier, heavy (iris,classifier)")
    parser.add_argument("--connections", help="a,b: connections of the closed loops (1,64)")
    parser.add_argument("--rates", help="a,b: requests a second of the open loops (none)")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=float, help="measured at 1 connection, longer at more (1.5)")
    parser.add_argument("--load", help=f"{' or '.join(loads.names())} (the first that runs here)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (a new file in bench/results)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="smoke test: iris, 2 rounds of 1 s at 1 and 64")
    size.add_argument(
        "--full", action="store_true", help="every model, 1,16,64,256 connections, open loops: hours"
    )
    return parser


@dataclass(frozen=True)
class _Size:
    """Defaults of the measurement options."""

    models: str
    connections: str
    rates: str
    rounds: int
    seconds: float


_QUICK = _Size("iris", "1,64", "", 2, 1.0)
_USUAL = _Size("iris,classifier", "1,64", "", 5, 1.5)
_FULL = _Size("iris,classifier,heavy", "1,16,64,256", "30,100,300,1000,2000", 5, 2.0)


def planned(words: Sequence[str]) -> Plan:
    """The plan for the command's options. Raises ValueError if they are invalid."""
    return _plan(_parser().parse_args(words))


def _plan(given: argparse.Namespace) -> Plan:
    size = _QUICK if given.quick else _FULL if given.full else _USUAL
    plan = Plan(
        rivals=tuple(given.rivals.split(",")),
        connections=tuple(int(count) for count in (given.connections or size.connections).split(",")),
        rounds=given.rounds if given.rounds is not None else size.rounds,
        seconds=given.seconds if given.seconds is not None else size.seconds,
        models=tuple((given.models or size.models).split(",")),
        rates=tuple(float(rate) for rate in (given.rates or size.rates).split(",") if rate),
    )
    if min(*plan.connections, plan.rounds) < 1 or min(plan.seconds, *plan.rates, 1) <= 0:
        raise ValueError("--connections, --rates, --rounds and --seconds must be greater than 0")
    return plan


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
