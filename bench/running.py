"""Executes a plan: loads each rival in turn and records the figures."""

from __future__ import annotations

import time
from collections.abc import Sequence

import uvloop

from bench import arrivals
from bench.calls import Probe, stages_of
from bench.environments import Entrant
from bench.loads import Load, Shot
from bench.open_loop import measure_open
from bench.plan import OPEN_S, PROBE_S, SETTLE_S, Plan, Turn
from bench.processes import machine_now
from bench.results import Round, Stages
from bench.rivals_side_by_side import Field, Say, standing
from bench.samples import Measured, Sample, broken_requests, measure, parse_log
from bench.servers import Server, run_within
from bench.subjects import ROOT, Subject

_LOAD_MORE_S = 20.0  # delay after which a load is ended


def run(
    plan: Plan, entrants: Sequence[Entrant], subject: Subject, load: Load, say: Say
) -> tuple[list[Round], list[Stages]]:
    """Measure a model according to the plan. All programs end, even after an error.

    Raises NoAnswer, and the errors of `standing`.
    """
    with standing(entrants, subject, say) as field:
        return measured(Session(field, load, plan), subject.name, say)


class Session:
    """The running rivals and their load."""

    def __init__(self, field: Field, load: Load, plan: Plan) -> None:
        self.servers = field.servers
        self.plan = plan
        self._field = field
        self._load = load

    def fire(self, server: Server, connections: int, duration_s: float) -> tuple[list[Sample], int]:
        """Run the load on a server. Returns every finished request, and the number of broken requests."""
        body_file, log_file = self._field.folder / "body", self._field.folder / "requests.log"
        body_file.write_bytes(server.body)
        log_file.unlink(missing_ok=True)
        shot = Shot(server.url, server.rival.headers, body_file, log_file, connections, duration_s)
        limit_s = duration_s + _LOAD_MORE_S
        output = run_within(self._load.command(shot), ROOT, self._field.leash, limit_s)
        return list(parse_log(log_file.read_text())), broken_requests(output)


def measured(session: Session, model: str, say: Say) -> tuple[list[Round], list[Stages]]:
    """Measure the session's model according to its plan."""
    settle(session)
    return [_take(session, turn, say) for turn in session.plan.turns(model)], _probed(session)


def settle(session: Session) -> None:
    """Load each server without measuring, so that adaptation and compilation end before the turns."""
    for server in session.servers.values():
        session.fire(server, max(session.plan.connections), SETTLE_S)
        server.quiet_down()


def _take(session: Session, turn: Turn, say: Say) -> Round:
    """Run a turn: check, load, check again."""
    server = session.servers[turn.rival]
    server.check()
    before, machine, begun_s = server.usage(), machine_now(), time.monotonic()
    measured = _closed(session, server, turn) if turn.rate is None else _open(session, server, turn)
    after, elapsed_s = server.usage(), time.monotonic() - begun_s
    cores = after.cores_since(before, elapsed_s)
    others_cores = machine_now().others_since(machine, sum(cores.values()), elapsed_s)
    server.check()
    server.quiet_down()
    say(f"{_in_words(turn, session.plan)} {measured.rps:>8,.0f} req/s")
    return Round(turn, measured, cores, after.memory_bytes, others_cores)


def _in_words(turn: Turn, plan: Plan) -> str:
    load = f"{turn.connections:>3}" if turn.rate is None else f"{turn.rate:g}/s"
    return f"{turn.model}, round {turn.round + 1}/{plan.rounds}, {load} × {turn.rival:<12}"


def _closed(session: Session, server: Server, turn: Turn) -> Measured:
    count, plan = turn.connections, session.plan
    warm_up_s, seconds = plan.warm_up_for_s(count), plan.measured_for_s(count)
    samples, broken = session.fire(server, count, warm_up_s + seconds)
    return measure(samples, connections=count, warm_up_s=warm_up_s, seconds=seconds, broken=broken)


def _open(session: Session, server: Server, turn: Turn) -> Measured:
    """New requests at the turn's rate, at random times that are the same for every rival."""
    assert turn.rate is not None
    warm_up_s = session.plan.warm_up_s
    offer = arrivals.Offer(turn.rate, warm_up_s + OPEN_S, seed=turn.round)

    async def offered() -> list[arrivals.Call]:
        return await arrivals.Load([server.url], server.body, offer).run()

    return measure_open(uvloop.run(offered()), offer, warm_up_s=warm_up_s)


def _probed(session: Session) -> list[Stages]:
    """The stages of every rival with Server-Timing; the probe is among the connections."""
    timed = [server for server in session.servers.values() if server.rival.timed]
    found = [probe(session, server, count) for server in timed for count in session.plan.connections]
    return [stages for stages in found if stages is not None]


def probe(session: Session, server: Server, connections: int) -> Stages | None:
    """Times by stage on a connection among `count`. Raises the errors of `Probe.end`."""
    watch = Probe(server.caller())
    watch.start()
    try:
        if connections > 1:
            session.fire(server, connections - 1, PROBE_S)
        else:
            time.sleep(PROBE_S)
    finally:
        calls = watch.end()
    server.quiet_down()
    return stages_of(server.place.subject.name, server.rival.name, connections, calls)
