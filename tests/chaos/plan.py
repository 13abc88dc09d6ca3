"""The sequence of faults, which the seed determines. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    WORKER_KILLED = "worker SIGKILL"
    WORKER_TERMINATED = "worker SIGTERM"
    WORKER_STOPPED = "worker SIGSTOP"
    WORKERS_KILLED = "all workers SIGKILL"
    FORK_SERVER_KILLED = "fork-server SIGKILL"
    SUPERVISOR_KILLED = "supervisor SIGKILL"
    MACHINE_KILLED = "machine SIGKILL"
    COORDINATOR_KILLED = "coordinator SIGKILL"
    GATEWAY_KILLED = "gateway SIGKILL"
    GATEWAY_TERMINATED = "gateway SIGTERM"
    GATEWAY_STOPPED = "gateway SIGSTOP"
    REDIS_KILLED = "Redis SIGKILL"
    REDIS_TERMINATED = "Redis SIGTERM"
    REDIS_STOPPED = "Redis SIGSTOP"


ROUND = (
    *(Kind.WORKER_KILLED,) * 2,
    *(Kind.GATEWAY_KILLED, Kind.REDIS_KILLED) * 2,
    *(Kind.WORKER_TERMINATED, Kind.WORKER_STOPPED, Kind.WORKERS_KILLED),
    *(Kind.FORK_SERVER_KILLED, Kind.SUPERVISOR_KILLED, Kind.MACHINE_KILLED, Kind.COORDINATOR_KILLED),
    *(Kind.GATEWAY_TERMINATED, Kind.GATEWAY_STOPPED),
    *(Kind.REDIS_TERMINATED, Kind.REDIS_STOPPED),
)
"""Kinds of faults; each round has every kind in random order."""

SHORT_ROUND = (Kind.WORKER_KILLED, Kind.REDIS_KILLED, Kind.GATEWAY_KILLED, Kind.WORKER_STOPPED)
"""Kinds for a run of a minute: those without a worker's start, which takes long."""

LIFE_ROUND = (
    *(Kind.WORKER_KILLED, Kind.FORK_SERVER_KILLED, Kind.SUPERVISOR_KILLED),
    *(Kind.COORDINATOR_KILLED, Kind.REDIS_KILLED),
)
"""Kinds that a change of the served versions must survive in each of its steps."""

SHORTEST_CALM_S, LONGEST_CALM_S = 0.5, 4.0
SHORTEST_HOLD_S, LONGEST_HOLD_S = 2.0, 8.0


@dataclass(frozen=True)
class Fault:
    """A planned fault. A suspended process resumes after `hold_s`."""

    number: int  # from 1
    kind: Kind
    victim: int  # index of the gateway, or of the machine with a worker; 0 if there is only one
    calm_s: float  # pause before the fault
    hold_s: float


def faults(seed: int, *, workers: int, gateways: int, round_of: tuple[Kind, ...] = ROUND) -> Iterator[Fault]:
    """An endless sequence of faults."""
    luck = random.Random(seed)
    number = 0
    while True:
        for kind in luck.sample(round_of, len(round_of)):
            number += 1
            victims = {"gateway": gateways, "Redis": 1, "all": 1, "coordinator": 1}.get(
                kind.split()[0], workers
            )
            yield Fault(
                number=number,
                kind=kind,
                victim=luck.randrange(victims),
                calm_s=luck.uniform(SHORTEST_CALM_S, LONGEST_CALM_S),
                hold_s=luck.uniform(SHORTEST_HOLD_S, LONGEST_HOLD_S),
            )
