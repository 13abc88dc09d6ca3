"""The number of workers that a model needs: a pure function of waiting work, arriving work and worker rates.

    need   = waiting and running rows of jobs ÷ (job rows/s of a worker × target_s)       at most 1 per chunk
           + online rows/s ÷ (online rows/s of a worker × TARGET_UTILISATION)
           + waiting online rows ÷ (online rows/s of a worker × target_s)
    wanted = need, rounded up; at least 1 if work waits or runs; within min and max

Without a measured rate, the result is that minimum of 1: the first worker measures the rate. The utilisation
below 1 lets the need grow under overload: rejected requests are not counted, but busy workers exceed
TARGET_UTILISATION, so that more workers are needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from shared.lanes import ModelLanes

TARGET_UTILISATION = 0.7


@dataclass(frozen=True)
class Demand:
    """The work for a model version, and the rates of a worker. A rate of 0: not measured."""

    lanes: ModelLanes
    arriving_rows_per_s: float  # online
    online_rows_per_s: float  # of a worker
    offline_rows_per_s: float

    @property
    def idle(self) -> bool:
        return self.lanes.idle and self.arriving_rows_per_s < 1e-3


@dataclass(frozen=True)
class Bounds:
    """The autoscaler's limits, and the time within which waiting work should be done."""

    target_s: float
    min_workers: int = 0
    max_workers: int | None = None

    def within(self, workers: int) -> int:
        most = workers if self.max_workers is None else min(workers, self.max_workers)
        return max(most, self.min_workers)


def wanted_workers(demands: Iterable[Demand], bounds: Bounds) -> int:
    """Workers for these model versions together, assuming that each worker holds all of them."""
    listed = list(demands)
    need = math.ceil(sum(need_of(demand, bounds.target_s) for demand in listed) - 1e-9)
    return bounds.within(max(need, int(not all(demand.idle for demand in listed))))


def need_of(demand: Demand, target_s: float) -> float:
    """Workers that a model version keeps busy, as a fraction."""
    return _need_of_jobs(demand, target_s) + _need_online(demand, target_s)


def _need_of_jobs(demand: Demand, target_s: float) -> float:
    lane = demand.lanes.offline
    if not demand.offline_rows_per_s:
        return 0.0
    by_rows = (lane.rows + lane.running_rows) / (demand.offline_rows_per_s * target_s)
    return min(by_rows, lane.chunks + lane.running_chunks)  # a chunk runs on a single worker


def _need_online(demand: Demand, target_s: float) -> float:
    if not demand.online_rows_per_s:
        return 0.0
    steady = demand.arriving_rows_per_s / (demand.online_rows_per_s * TARGET_UTILISATION)
    return steady + demand.lanes.online.rows / (demand.online_rows_per_s * target_s)
