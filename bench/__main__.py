"""`python -m bench`: measure the rivals side by side, print the report, and keep it as JSON."""

from __future__ import annotations

import argparse
import http.client
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import loads, rivals
from bench.calls import NoAnswer, WrongAnswer
from bench.machine import this_machine
from bench.plan import Plan
from bench.report import report
from bench.results import Results
from bench.running import ROOT, run
from bench.servers import DidNotStart
from shared.errors import TaktError
from shared.repository import open_repository

RESULTS = ROOT / "bench" / "results"
_BUILD_LIMIT_S = 180.0


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        results = _measure(given, f"python -m bench {' '.join(words)}".strip())
    except KeyboardInterrupt:
        print("bench: interrupted; everything it started has ended", file=sys.stderr)
        return 130
    except (ValueError, TaktError, DidNotStart, NoAnswer, WrongAnswer) as error:
        return _failed(str(error))
    except (OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
        return _failed(f"{error!r}\n{getattr(error, 'output', None) or ''}")
    print(f"\n{report(results)}")
    _keep(results, given.json)
    return 0


def _measure(given: argparse.Namespace, command: str) -> Results:
    """Raises ValueError for options that make no sense, and what `run` raises."""
    plan = _plan(given)
    chosen = [rivals.rival(name) for name in plan.rivals]
    load = loads.choose(given.load)
    machine, began_at, begun_s = this_machine(), datetime.now(UTC), time.monotonic()
    artifact = _artifact()
    _say(f"about {plan.estimate_s() / 60:.1f} minutes; load: {load.about}")
    rounds, stages = run(plan, chosen, load, artifact, _say)
    return Results(
        command=command,
        began_at=began_at.isoformat(timespec="seconds"),
        took_s=time.monotonic() - begun_s,
        load=load.about,
        plan=plan,
        machine=machine,
        rounds=rounds,
        stages=stages,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--rivals", default="guide,takt", help="a,b; the first is what ratios are to (guide,takt)"
    )
    parser.add_argument("--connections", help="a,b (1,16,64,256)")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=float, help="measured at 1 connection, longer at more (2)")
    parser.add_argument("--load", help=f"{' or '.join(loads.names())} (the first that runs here)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where results go (a new file in bench/results)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="2 rounds of 1 s at 1 and 64 connections: a look only"
    )
    return parser


def _plan(given: argparse.Namespace) -> Plan:
    connections, rounds, seconds = ("1,64", 2, 1.0) if given.quick else ("1,16,64,256", 5, 2.0)
    plan = Plan(
        rivals=tuple(given.rivals.split(",")),
        connections=tuple(int(count) for count in (given.connections or connections).split(",")),
        rounds=given.rounds if given.rounds is not None else rounds,
        seconds=given.seconds if given.seconds is not None else seconds,
    )
    if min(*plan.connections, plan.rounds) < 1 or plan.seconds <= 0:
        raise ValueError("--connections, --rounds and --seconds must be greater than 0")
    return plan


def _artifact() -> Path:
    """The iris forest that every rival loads; built where it never was."""
    repository = open_repository(ROOT / "models")
    if not repository.versions("iris"):
        _say("building iris (once)")
        command = [sys.executable, "-m", "worker", "build", "iris"]
        subprocess.run(command, cwd=ROOT, check=True, timeout=_BUILD_LIMIT_S, stdout=subprocess.DEVNULL)
    return repository.version("iris").verify()


def _keep(results: Results, chosen: Path | None) -> None:
    stamp = results.began_at.replace(":", "").partition("+")[0]
    path = chosen or RESULTS / f"{stamp}-{platform.node() or 'host'}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    _say(f"results: {path}")


def _say(line: str) -> None:
    """Progress, which is not the report."""
    print(line, file=sys.stderr, flush=True)


def _failed(reason: str) -> int:
    print(f"bench: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
