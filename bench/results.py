"""Records of a run. They are stored as JSON, and all tables are rendered from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from bench.plan import Plan, Turn
from bench.samples import Measured


@dataclass(frozen=True)
class Machine:
    """Machine and versions of a run."""

    cores: int
    processor: str
    system: str
    load_before: float  # 1-minute load average before the run
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Round:
    """Figures of a turn."""

    turn: Turn
    measured: Measured
    cpu_cores: Mapping[str, float]  # by part of the rival: CPU seconds a second
    memory_bytes: Mapping[str, int]  # by part of the rival, resident, at the end of the turn
    others_cores: float  # cores used by programs outside the run

    @property
    def cpu_ms_a_request(self) -> float | None:
        """CPU time of an answer, the figure least affected by other load on the machine."""
        cores = sum(self.cpu_cores.values())
        return cores * 1000 / self.measured.rps if self.measured.rps else None


@dataclass(frozen=True)
class Stages:
    """Time of a request by stage under a load, measured on one of its connections: means, which add up."""

    model: str
    rival: str
    connections: int
    answers: int
    whole_ms: float  # measured by the client
    batch_rows: float
    stages_ms: Mapping[str, float]

    @property
    def rest_ms(self) -> float:
        """The whole less all stages: the client, the kernel, and HTTP on both sides."""
        return self.whole_ms - sum(self.stages_ms.values())


class Facts(TypedDict):
    """The fields of a `Run`."""

    command: str
    began_at: str
    took_s: float
    machine: Machine


@dataclass(frozen=True, kw_only=True)
class Run:
    """Facts of every run."""

    command: str
    began_at: str  # UTC, RFC 3339
    took_s: float
    machine: Machine
    kind: str  # kind of the record, used to read a stored run: see bench/stored_runs.py


@dataclass(frozen=True, kw_only=True)
class Results(Run):
    """A run of rivals under loads."""

    load: str
    plan: Plan
    rounds: tuple[Round, ...]
    stages: tuple[Stages, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)  # reasons by rival that did not take part
    kind: str = "online"

    def of(self, model: str, rival: str, connections: int, rate: float | None = None) -> list[Round]:
        """The rounds of a rival under a load, in order."""
        wanted = (model, rival, (connections, rate))
        return [r for r in self.rounds if (r.turn.model, r.turn.rival, r.turn.load) == wanted]
