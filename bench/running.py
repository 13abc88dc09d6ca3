"""Carries a plan out: starts the rivals, puts the load on each in turn, and keeps what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.calls import Probe, stages_of
from bench.loads import Load, Shot
from bench.plan import PROBE_S, Plan, Turn
from bench.processes import machine_now
from bench.results import Round, Stages
from bench.rivals import Rival
from bench.samples import Sample, broken_requests, measure, parse_log
from bench.servers import Server, run_within, serving
from stack.leash import Leash

ROOT = Path(__file__).resolve().parent.parent
_LOAD_MORE_S = 20.0  # a load that is so much late is ended

Say = Callable[[str], None]


def run(
    plan: Plan, rivals: Sequence[Rival], load: Load, artifact: Path, say: Say
) -> tuple[tuple[Round, ...], tuple[Stages, ...]]:
    """Everything that the plan asks for; nothing runs on afterwards, whatever is raised.

    Raises DidNotStart, NoAnswer, WrongAnswer, OSError, and what subprocess raises of a load that fails.
    """
    with ExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory(prefix="takt-bench-")))
        leash = held.enter_context(closing(Leash()))
        servers = {}
        for rival in rivals:
            say(f"{rival.name}: {rival.about}")
            servers[rival.name] = held.enter_context(serving(rival, folder / rival.name, artifact, leash))
        field = Field(servers, load, folder, leash)
        rounds = tuple(_take(field, plan, turn, say) for turn in plan.turns())
        return rounds, tuple(_probed(field, plan))


class Field:
    """The rivals as they stand, and the load to put on them."""

    def __init__(self, servers: Mapping[str, Server], load: Load, folder: Path, leash: Leash) -> None:
        self.servers = servers
        self._load = load
        self._folder = folder
        self._leash = leash

    def fire(self, server: Server, connections: int, duration_s: float) -> tuple[list[Sample], int]:
        """Put the load on a server. → every request that ended, and how many broke."""
        body_file, log_file = self._folder / "body", self._folder / "requests.log"
        body_file.write_bytes(server.rival.body)
        log_file.unlink(missing_ok=True)
        shot = Shot(server.url, server.rival.headers, body_file, log_file, connections, duration_s)
        output = run_within(self._load.command(shot), ROOT, self._leash, duration_s + _LOAD_MORE_S)
        return list(parse_log(log_file.read_text())), broken_requests(output)


def _take(field: Field, plan: Plan, turn: Turn, say: Say) -> Round:
    """One turn: checked, loaded, checked again."""
    server = field.servers[turn.rival]
    server.check()
    before, machine, begun_s = server.usage(), machine_now(), time.monotonic()
    warm_up_s, seconds = plan.warm_up_for_s(turn.connections), plan.measured_for_s(turn.connections)
    samples, broken = field.fire(server, turn.connections, warm_up_s + seconds)
    after, elapsed_s = server.usage(), time.monotonic() - begun_s
    cores = after.cores_since(before, elapsed_s)
    others_cores = machine_now().others_since(machine, sum(cores.values()), elapsed_s)
    server.check()
    server.quiet_down()
    measured = measure(
        samples, connections=turn.connections, warm_up_s=warm_up_s, seconds=seconds, broken=broken
    )
    place = f"round {turn.round + 1}/{plan.rounds}, {turn.connections:>3} × {turn.rival:<8}"
    say(f"{place} {measured.rps:>8,.0f} req/s")
    return Round(turn, measured, cores, after.memory_bytes, others_cores)


def _probed(field: Field, plan: Plan) -> list[Stages]:
    """The stages of every rival that times them, one of the connections being the probe's."""
    timed = [server for server in field.servers.values() if server.rival.timed]
    found = [_probe(field, server, connections) for server in timed for connections in plan.connections]
    return [stages for stages in found if stages is not None]


def _probe(field: Field, server: Server, connections: int) -> Stages | None:
    probe = Probe(server.rival, server.place.port)
    probe.start()
    try:
        if connections > 1:
            field.fire(server, connections - 1, PROBE_S)
        else:
            time.sleep(PROBE_S)
    finally:
        calls = probe.end()
    server.quiet_down()
    return stages_of(server.rival.name, connections, calls)
