"""How many workers a model wants: a pure function of what waits, what comes, and what a worker does.

    need   = rows of jobs that wait or run ÷ (rows/s of a worker in jobs × target_s)      at most one a chunk
           + rows/s answered online ÷ (rows/s of a worker online × TARGET_UTILISATION)
           + rows that wait online ÷ (rows/s of a worker online × target_s)
    wanted = need, rounded up; at least 1 where anything waits or runs; within min and max

Where no worker has measured a rate, nothing but that 1 can be said: the first worker measures it. The share
that is left idle online lets the need grow under overload: refused requests are not counted, but the workers
are then busy all the time, and more than TARGET_UTILISATION asks for more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from shared.lanes import ModelLanes

TARGET_UTILISATION = 0.7


@dataclass(frozen=True)
class Demand:
    """What is asked of one model version, and how much of it one worker can do. A rate of 0: not measured."""

    lanes: ModelLanes
    arriving_rows_per_s: float  # online
    online_rows_per_s: float  # of one worker
    offline_rows_per_s: float

    @property
    def idle(self) -> bool:
        return self.lanes.idle and self.arriving_rows_per_s < 1e-3


@dataclass(frozen=True)
class Bounds:
    """What the asking autoscaler allows, and how soon it wants what waits to be done."""

    target_s: float
    min_workers: int = 0
    max_workers: int | None = None

    def within(self, workers: int) -> int:
        most = workers if self.max_workers is None else min(workers, self.max_workers)
        return max(most, self.min_workers)


def wanted_workers(demands: Iterable[Demand], bounds: Bounds) -> int:
    """Workers for all of these model versions together, which are taken to share them."""
    listed = list(demands)
    need = math.ceil(sum(need_of(demand, bounds.target_s) for demand in listed) - 1e-9)
    return bounds.within(max(need, int(not all(demand.idle for demand in listed))))


def need_of(demand: Demand, target_s: float) -> float:
    """Workers that one model version keeps busy, as a fraction."""
    return _need_of_jobs(demand, target_s) + _need_online(demand, target_s)


def _need_of_jobs(demand: Demand, target_s: float) -> float:
    lane = demand.lanes.offline
    if not demand.offline_rows_per_s:
        return 0.0
    by_rows = (lane.rows + lane.running_rows) / (demand.offline_rows_per_s * target_s)
    return min(by_rows, lane.chunks + lane.running_chunks)  # a chunk is run by one worker


def _need_online(demand: Demand, target_s: float) -> float:
    if not demand.online_rows_per_s:
        return 0.0
    steady = demand.arriving_rows_per_s / (demand.online_rows_per_s * TARGET_UTILISATION)
    return steady + demand.lanes.online.rows / (demand.online_rows_per_s * target_s)
