"""`python -m bench.checkouts OTHER_FOLDER`: whole stacks of two checkouts side by side.

Compares this checkout with another, for example a git worktree of the commit before a change. The other
checkout has its own `.venv` and built models (`make setup models`). Each round loads both stacks in turns:
closed loops of predictions, and single-row jobs that are submitted and read. `. --gateways 2` compares this
checkout with itself: two gateway processes with a single process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench import jobs, loads, stored_runs
from bench.checkouts_report import HERE, OTHER, CheckoutResults, CheckoutRound
from bench.commands import ended, say
from bench.environments import Entrant
from bench.machine import Began
from bench.plan import Plan
from bench.rivals import Place, Rival, takt
from bench.rivals_side_by_side import standing
from bench.running import Session, settle
from bench.servers import Server
from bench.subjects import ROOT, subject

_JOB_CONNECTIONS = 4

Work = Callable[[Server], tuple[int, float]]
"""Loads a server. Returns the number of requests or jobs, and how many a second."""


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    command = f"python -m bench.checkouts {' '.join(words)}".strip()
    return ended("bench.checkouts", lambda: stored_runs.report_and_keep(_measure(given, command), given.json))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.checkouts", description=__doc__)
    parser.add_argument("other", type=Path, metavar="OTHER_FOLDER", help="the other checkout")
    parser.add_argument("--gateways", type=int, default=1, help="gateway processes of this checkout (1)")
    parser.add_argument("--model", default="iris", help="iris or classifier (iris)")
    parser.add_argument("--connections", default="64,1", help="a,b: closed loops (64,1)")
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of each closed loop (2)")
    parser.add_argument("--jobs", type=int, default=400, help="jobs of one row in a round, 0 for none (400)")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _measure(given: argparse.Namespace, command: str) -> CheckoutResults:
    began, other = Began(command), given.other.resolve()
    counts = tuple(int(count) for count in given.connections.split(","))
    stacks = [_stack(OTHER, other, given.model), _stack(HERE, ROOT, given.model, given.gateways)]
    plan = Plan((OTHER, HERE), counts, given.rounds, given.seconds, models=(given.model,))
    with standing(stacks, subject(given.model), say) as field:
        session = Session(field, loads.choose(None), plan)
        settle(session)
        works = dict(_works(session, given.jobs))
        rounds = tuple(_rounds(session.servers, works, given.rounds))
    return CheckoutResults(
        **began.facts(),
        other=_commit(other),
        here=_commit(ROOT),
        gateways=given.gateways,
        model=given.model,
        rounds=rounds,
    )


def _stack(name: str, checkout: Path, model: str, gateways: int = 1) -> Entrant:
    """`takt up` of a checkout, with its own Python, code and models. Raises ValueError if it lacks one."""
    python, models = checkout / ".venv" / "bin" / "python", checkout / "models"
    if not python.exists() or not list(models.glob(f"{model}/*/manifest.json")):
        raise ValueError(f"{checkout} has no .venv or no built model {model}: run `make setup models` there")

    def command(place: Place) -> Sequence[str]:
        return takt.up(replace(place, subject=replace(place.subject, repository=models)))

    # of the rivals, only Takt has modules of the same names in two folders
    environment = {"PYTHONPATH": f"{checkout}:{checkout / 'client'}", "TAKT_GATEWAYS": str(gateways)}
    rival: Rival = replace(takt.RIVAL, name=name, command=command, environment=environment)
    return Entrant(rival, python)


def _works(session: Session, jobs_a_round: int) -> Iterator[tuple[str, Work]]:
    for count in session.plan.connections:
        seconds = session.plan.measured_for_s(count)
        yield f"{count} connections", lambda server, c=count, s=seconds: _predicted(session, server, c, s)  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
    if jobs_a_round:
        yield "jobs of one row", lambda server: _jobs(server, jobs_a_round)


def _predicted(session: Session, server: Server, connections: int, seconds: float) -> tuple[int, float]:
    samples, _ = session.fire(server, connections, seconds)
    answered = sum(sample.good for sample in samples)
    return answered, answered / seconds


def _jobs(server: Server, count: int) -> tuple[int, float]:
    done = jobs.submit_and_read(server, 0, count, _JOB_CONNECTIONS)
    return done.jobs, done.jobs_per_s


def _rounds(servers: Mapping[str, Server], works: Mapping[str, Work], rounds: int) -> Iterator[CheckoutRound]:
    """Run A B, then B A, so that the order alternates."""
    for number in range(rounds):
        for load, work in works.items():
            for name in (OTHER, HERE) if number % 2 == 0 else (HERE, OTHER):
                yield _round(number, load, name, servers[name], work)


def _round(number: int, load: str, name: str, server: Server, work: Work) -> CheckoutRound:
    before = server.usage()
    count, per_s = work(server)
    server.quiet_down()  # work that outlasts the answers counts, too
    after = server.usage()
    cpu_s = {part: s - before.cpu_s.get(part, 0.0) for part, s in after.cpu_s.items()}
    found = CheckoutRound(number, load, name, count, per_s, cpu_s)
    say(f"round {number + 1}, {load}, {name:<5}: {per_s:>8,.0f} a second")
    return found


def _commit(checkout: Path) -> str:
    """The commit of a checkout; `+` after it: there are changes."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--exclude", "*", "--dirty=+"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return said.stdout.strip() or checkout.name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
