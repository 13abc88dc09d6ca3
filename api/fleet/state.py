"""The fleet's state, as this gateway knows it."""

from __future__ import annotations

from dataclasses import dataclass

from api.fleet.lane_watch import LaneWatch
from api.fleet.loads import Loads
from api.fleet.snapshot import Fleet, FleetWatch


@dataclass(frozen=True)
class FleetState:
    """Live workers, their load, and waiting work."""

    watch: FleetWatch
    loads: Loads
    lanes: LaneWatch

    @property
    def now(self) -> Fleet:
        """The latest snapshot of the live workers."""
        return self.watch.fleet
