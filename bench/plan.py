"""Plan of a run: measurements, their order and the estimated duration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

WARM_UP_S = 1.0
PROBE_S = 3.0
SETTLE_S = 6.0
"""Duration of the load on each rival before all turns: BentoML adapts its batching every 5 s."""
OPEN_S = 4.0
_AROUND_A_TURN_S = 1.0  # checks, start of the load, and settling of the servers
_START_S = 12.0


@dataclass(frozen=True)
class Turn:
    """A rival under a load in a round: a closed loop by connections, or an open loop by rate."""

    round: int
    connections: int
    rival: str
    model: str = "iris"
    rate: float | None = None  # requests a second of an open loop, over as many connections as needed

    @property
    def load(self) -> tuple[int, float | None]:
        return self.connections, self.rate


@dataclass(frozen=True)
class Plan:
    """A run. Ratios are relative to the first rival.

    Seconds are for a single connection. With more connections each request waits longer, so turns are longer.
    """

    rivals: tuple[str, ...]
    connections: tuple[int, ...]
    rounds: int
    seconds: float
    warm_up_s: float = WARM_UP_S
    models: tuple[str, ...] = ("iris",)
    rates: tuple[float, ...] = ()  # of open loops

    def warm_up_for_s(self, connections: int) -> float:
        """Duration of a turn's load before the measurement."""
        return self.warm_up_s * _stretch(connections)

    def measured_for_s(self, connections: int) -> float:
        """Duration of a turn's measurement."""
        return self.seconds * _stretch(connections)

    def turns(self, model: str) -> Iterator[Turn]:
        """All turns: every rival under every load in each round. The order of rivals alternates by round."""
        for number in range(self.rounds):
            order = self.rivals if number % 2 == 0 else self.rivals[::-1]
            for connections, rate in self.loads():
                for rival in order:
                    yield Turn(number, connections, rival, model, rate)

    def loads(self) -> list[tuple[int, float | None]]:
        """The closed loops, then the open loops, which have no number of connections."""
        closed: list[tuple[int, float | None]] = [(count, None) for count in self.connections]
        return [*closed, *((0, rate) for rate in self.rates)]

    def estimate_s(self) -> float:
        """Estimated duration of the run."""
        loads_s = sum(
            self.warm_up_for_s(c) + self.measured_for_s(c) + _AROUND_A_TURN_S for c in self.connections
        )
        loads_s += len(self.rates) * (self.warm_up_s + OPEN_S + _AROUND_A_TURN_S)
        probes_s = len(self.connections) * (PROBE_S + _AROUND_A_TURN_S)
        before_s = _START_S + SETTLE_S + _AROUND_A_TURN_S
        each_s = len(self.rivals) * (before_s + self.rounds * loads_s) + probes_s
        return len(self.models) * each_s


def _stretch(connections: int) -> float:
    """1 for 1 connection, 1.5 for 64, 3 for 256."""
    return 1 + (connections - 1) / 127
