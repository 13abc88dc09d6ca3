"""`python -m bench.studies.fronts`: the gateway, without layers of its front, behind plain uvicorn, granian.

A queue and a worker serve all gateways, in interleaved rounds. CPU time and memory are those of the
gateway only. Ratios are relative to the first front.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bench import loads, stored_runs
from bench.commands import ended, say
from bench.environments import Entrant, enter, entrant, versions
from bench.machine import Began
from bench.plan import Plan
from bench.results import Results
from bench.rivals import takt
from bench.rivals_side_by_side import Field, standing
from bench.running import Session, measured
from bench.servers import serving
from bench.studies.fronts import FRONTS, front
from bench.subjects import subject
from stack.redis_url import queue_url

DEFAULT = "takt,timers,asgi,two_writes,plain,granian"
_MODEL = "iris"


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    command = f"python -m bench.studies.fronts {' '.join(words)}".strip()
    return ended(
        "bench.studies.fronts", lambda: stored_runs.report_and_keep(_measure(given, command), given.json)
    )


def _parser() -> argparse.ArgumentParser:
    names = ",".join(one.name for one in FRONTS)
    parser = argparse.ArgumentParser(prog="python -m bench.studies.fronts", description=__doc__)
    parser.add_argument("--fronts", default=DEFAULT, help=f"a,b of {names} ({DEFAULT})")
    parser.add_argument("--connections", default="1,64", help="a,b: connections (1,64)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="measured at 1 connection (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _measure(given: argparse.Namespace, command: str) -> Results:
    began, load = Began(command), loads.choose(None)
    entrants, skipped = enter([front(name) for name in given.fronts.split(",")], say)
    plan = Plan(
        rivals=tuple(one.rival.name for one in entrants),
        connections=tuple(int(count) for count in given.connections.split(",")),
        rounds=given.rounds,
        seconds=given.seconds,
        models=(_MODEL,),
    )
    with _standing(entrants) as field:
        rounds, stages = measured(Session(field, load, plan), _MODEL, say)
    return Results(
        **began.facts(versions(entrants)),
        load=load.about,
        plan=plan,
        rounds=tuple(rounds),
        stages=tuple(stages),
        skipped=skipped,
    )


@contextmanager
def _standing(entrants: Sequence[Entrant]) -> Iterator[Field]:
    """Start the gateways, by front. Raises the errors of `standing`."""
    with standing([entrant(takt.RIVAL, say)], subject(_MODEL), say) as stack, ExitStack() as held:
        settings = _settings(stack)
        servers = {}
        for number, one in enumerate(entrants, start=2):
            say(f"{one.rival.name}: {one.rival.about}")
            joined = replace(one.rival, environment={**settings, "TAKT_GATEWAY_NAME": f"gateway-{number}"})
            folder = stack.folder / f"front-{number}"
            started = serving(replace(one, rival=joined), folder, stack.task, stack.leash)
            servers[joined.name] = held.enter_context(started)
        yield replace(stack, servers=servers)


def _settings(stack: Field) -> dict[str, str]:
    """Environment of a gateway that joins the stack."""
    place = stack.servers[takt.RIVAL.name].place
    data = place.folder / "data"
    return {
        "TAKT_REDIS_URL": queue_url(data),
        "TAKT_MODELS_DIR": str(place.subject.repository),
        "TAKT_DEFAULT_MODEL": place.subject.name,
        "TAKT_PAYLOAD_URL": (data / "payloads").as_uri(),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
