"""What one run measures, in which order, and about how long it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

WARM_UP_S = 2.0
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
    """One run. The first rival is the one that ratios are to."""

    rivals: tuple[str, ...]
    connections: tuple[int, ...]
    rounds: int
    seconds: float
    warm_up_s: float = WARM_UP_S

    @property
    def turn_s(self) -> float:
        """How long the load of one turn lasts."""
        return self.warm_up_s + self.seconds

    def turns(self) -> Iterator[Turn]:
        """Each round: every rival under every load; A B, then B A, so that none always goes first."""
        for number in range(self.rounds):
            order = self.rivals if number % 2 == 0 else self.rivals[::-1]
            for connections in self.connections:
                for rival in order:
                    yield Turn(number, connections, rival)

    def estimate_s(self) -> float:
        """About how long the run takes."""
        turns = self.rounds * len(self.connections) * len(self.rivals)
        probes = len(self.connections) * (PROBE_S + _AROUND_A_TURN_S)
        return len(self.rivals) * _START_S + turns * (self.turn_s + _AROUND_A_TURN_S) + probes
