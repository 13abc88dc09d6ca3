"""What one run measures, in which order, and about how long it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

WARM_UP_S = 1.0
PROBE_S = 3.0
_AROUND_A_TURN_S = 1.0  # checks, the load's own start, and until the servers are quiet again
_START_S = 15.0


@dataclass(frozen=True)
class Turn:
    """One rival under one load, once."""

    round: int
    connections: int
    rival: str


@dataclass(frozen=True)
class Plan:
    """One run. The first rival is the one that ratios are to.

    Seconds are those of one connection. Where many wait at once each waits longer, so turns are longer.
    """

    rivals: tuple[str, ...]
    connections: tuple[int, ...]
    rounds: int
    seconds: float
    warm_up_s: float = WARM_UP_S

    def warm_up_for_s(self, connections: int) -> float:
        """How long the load of a turn runs before anything counts."""
        return self.warm_up_s * _stretch(connections)

    def measured_for_s(self, connections: int) -> float:
        """How long the load of a turn runs after that."""
        return self.seconds * _stretch(connections)

    def turns(self) -> Iterator[Turn]:
        """Each round: every rival under every load; A B, then B A, so that none always goes first."""
        for number in range(self.rounds):
            order = self.rivals if number % 2 == 0 else self.rivals[::-1]
            for connections in self.connections:
                for rival in order:
                    yield Turn(number, connections, rival)

    def estimate_s(self) -> float:
        """About how long the run takes."""
        loads_s = sum(
            self.warm_up_for_s(c) + self.measured_for_s(c) + _AROUND_A_TURN_S for c in self.connections
        )
        probes_s = len(self.connections) * (PROBE_S + _AROUND_A_TURN_S)
        return len(self.rivals) * (_START_S + self.rounds * loads_s) + probes_s


def _stretch(connections: int) -> float:
    """1 for one connection, 1.5 for 64, 3 for 256."""
    return 1 + (connections - 1) / 127
