"""What a run leaves behind: records that are written as JSON, and from which every table is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from bench.plan import Plan, Turn
from bench.samples import Measured


@dataclass(frozen=True)
class Machine:
    """Where and with what a run took place."""

    cores: int
    processor: str
    system: str
    load_before: float  # the 1-minute load average before anything was started
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Round:
    """One turn's outcome."""

    turn: Turn
    measured: Measured
    cpu_cores: Mapping[str, float]  # by part of the rival: CPU seconds a second
    memory_bytes: Mapping[str, int]  # by part of the rival, resident, at the end of the turn
    others_cores: float  # what programs that are no part of the run took meanwhile

    @property
    def cpu_ms_a_request(self) -> float | None:
        """What an answer costs; a machine that is busy with other things changes it least of all figures."""
        cores = sum(self.cpu_cores.values())
        return cores * 1000 / self.measured.rps if self.measured.rps else None


@dataclass(frozen=True)
class Stages:
    """Where a request's time goes under a load, as one of its connections saw it: means, which add up."""

    model: str
    rival: str
    connections: int
    answers: int
    whole_ms: float  # as the client saw it
    batch_rows: float
    stages_ms: Mapping[str, float]

    @property
    def rest_ms(self) -> float:
        """What the stages leave of the whole: the client, the kernel, and HTTP on both sides."""
        return self.whole_ms - sum(self.stages_ms.values())


class Facts(TypedDict):
    """The fields of a `Run`."""

    command: str
    began_at: str
    took_s: float
    machine: Machine


@dataclass(frozen=True, kw_only=True)
class Run:
    """What every run says of itself."""

    command: str
    began_at: str  # UTC, RFC 3339
    took_s: float
    machine: Machine
    kind: str  # of its record, by which a kept run is read: see bench/keeping.py


@dataclass(frozen=True, kw_only=True)
class Results(Run):
    """Rivals under loads."""

    load: str
    plan: Plan
    rounds: tuple[Round, ...]
    stages: tuple[Stages, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)  # a rival that did not take part → why
    kind: str = "online"

    def of(self, model: str, rival: str, connections: int, rate: float | None = None) -> list[Round]:
        """The rounds of one rival under one load, in their order."""
        wanted = (model, rival, (connections, rate))
        return [r for r in self.rounds if (r.turn.model, r.turn.rival, r.turn.load) == wanted]
