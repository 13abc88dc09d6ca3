"""A worker's engine in virtual time: the turns of `worker.execution.engine`, with the same scheduler."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from bench.simulation.clock import Action, VirtualClock
from bench.simulation.costs import Costs
from bench.simulation.lane import KEY, SimulatedLane, Stream
from worker.execution.scheduler import LaneScheduler, NextLane, slice_rows
from worker.execution.throughput import BatchTimer, ThroughputEstimate
from worker.online.batching import Delivery
from worker.online.consumer import OnlineConsumer
from worker.online.stream import Finished, OnlineStream


@dataclass(eq=False)
class ChunkInHand:
    """A chunk in the engine, and the callback at its end."""

    rows_left: int
    ended: Action


class SimulatedWorker:
    """An engine. `answered` is called with the entries of each completed batch."""

    def __init__(
        self,
        clock: VirtualClock,
        stream: Stream,
        costs: Costs,
        answered: Callable[[Sequence[Delivery]], None],
    ) -> None:
        self._clock = clock
        self._stream = stream
        self._costs = costs
        self._answered = answered
        lane = SimulatedLane(clock, stream, costs.max_rows)
        # SimulatedLane has all methods that OnlineConsumer uses
        self._intake = OnlineConsumer(cast(OnlineStream, lane), lambda _: costs.max_rows)
        self._lap = BatchTimer()
        self._work: deque[ChunkInHand] = deque()
        self.share = LaneScheduler()
        self.online = ThroughputEstimate(costs.max_rows, costs.max_rows / costs.predict_s(costs.max_rows))
        self.offline = ThroughputEstimate(
            costs.max_rows, costs.max_slice_rows / costs.predict_s(costs.max_slice_rows)
        )
        self.batches = 0
        self.batch_rows = 0
        clock.after(0.0, self._turn)

    def submit(self, work: ChunkInHand) -> None:
        self._work.append(work)
        if self._stream.rouse(self):
            self._turn()

    def woken(self) -> None:
        """Handle a new entry."""
        self._intake.wait(self._clock.now_s)
        self._turn()

    def _turn(self) -> None:
        now_s = self._clock.now_s
        self._intake.look(now_s)
        self._lap.looked(now_s, waiting=self._intake.waiting)
        match self.share.next_turn(online=self._intake.waiting, offline=bool(self._work)):
            case NextLane.ONLINE:
                self._run_online()
            case NextLane.OFFLINE:
                self._run_slice(now_s)
            case NextLane.WAIT:
                self._stream.sleep(self)

    def _run_online(self) -> None:
        batch, now_ms = self._intake.next_batch()
        alive = [delivery for delivery in batch if not delivery.late(now_ms)]
        predict_s = self._costs.predict_s(len(alive)) if alive else 0.0

        def ran() -> None:
            now_s = self._clock.now_s
            if alive:
                self.share.online_ran(now_s, predict_s)
                self.batches += 1
                self.batch_rows += len(alive)
                self._answered(alive)
            self._intake.send(Finished(KEY, {}, [one.entry_id for one in batch]), read_on=True)
            took_s = self._lap.ended(now_s)
            if alive:
                self.online.measured(len(alive), took_s)
            self._turn()

        self._clock.after(predict_s + self._costs.batch_s, ran)

    def _run_slice(self, now_s: float) -> None:
        work = self._work[0]
        self._work.rotate(-1)  # chunks take turns
        seconds, costs = self.share.slice_s(now_s), self._costs
        rows = slice_rows(seconds, self.offline.rows_per_s, least=costs.max_rows, most=costs.max_slice_rows)
        rows = min(rows, work.rows_left)
        took_s = costs.predict_s(rows) + costs.batch_s

        def ran() -> None:
            work.rows_left -= rows
            self.share.offline_ran(took_s)
            self.offline.measured(rows, took_s)
            if not work.rows_left:
                self._work.remove(work)
                work.ended()
            self._intake.look_again()
            self._turn()

        self._clock.after(took_s, ran)
