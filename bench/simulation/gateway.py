"""A gateway in virtual time: the real admission, an event loop, and a writer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from api.online.admission_policy import RetrySchedule, Traffic, admit
from bench.simulation.clock import Station, VirtualClock
from bench.simulation.costs import Costs
from bench.simulation.lane import KEY, Stream
from shared.errors import OverloadedError
from shared.settings import Settings

Ended = Callable[[int, int | None], None]
"""Callback at the end of a request: its status and its Retry-After in seconds."""
_MOST_INFLIGHT_ROWS: int = Settings.model_fields["max_inflight_rows"].default


@dataclass(frozen=True)
class Floor:
    """State shared by all gateways: their peers and the workers."""

    clock: VirtualClock
    costs: Costs
    queue: Station
    stream: Stream
    holders: int
    rows_per_s: Callable[[], float]
    gateways: list[SimulatedGateway] = field(default_factory=list)


class SimulatedGateway:
    """A gateway with single-row requests."""

    def __init__(self, name: str, floor: Floor) -> None:
        self.name = name
        self.loop = Station(floor.clock)
        self.waiting: dict[int, tuple[float, Ended]] = {}  # request → its deadline and callback
        self._floor = floor
        self._clock = floor.clock
        self._costs = floor.costs
        self._line = RetrySchedule()
        self._asked = 0
        self._gathered: list[int] = []
        self._writing = False

    def ask(self, wait_s: float, ended: Ended) -> None:
        self.loop.serve(self._costs.gateway_s / 2, lambda: self._enter(wait_s, ended))

    def answered(self, request: int) -> None:
        """Handle a prediction that has arrived in this gateway's stream."""
        self.loop.serve(self._costs.gateway_s / 2, lambda: self._end(request, 200))

    def _enter(self, wait_s: float, ended: Ended) -> None:
        try:
            admit(self._traffic(), KEY, 1, wait_s, retries=self._line, now_s=self._clock.now_s)
        except OverloadedError as refusal:
            ended(503, round(refusal.retry_after_s or 0))
            return
        self._asked += 1
        request = self._asked
        self.waiting[request] = (self._clock.now_s + wait_s, ended)
        self._clock.after(wait_s, lambda: self._overdue(request))
        self._gathered.append(request)
        if not self._writing:
            self._write()

    def _traffic(self) -> Traffic:
        rate, own = self._floor.rows_per_s(), len(self.waiting)
        everybody = sum(len(gateway.waiting) for gateway in self._floor.gateways)
        return Traffic(
            holders=self._floor.holders,
            rows_per_s=rate,
            backlog_s=everybody / rate,
            own_share=own / everybody if everybody else 1.0,
            batch_rows=self._costs.max_rows,
            inflight_rows=own,
            max_inflight_rows=_MOST_INFLIGHT_ROWS,
        )

    def _write(self) -> None:
        sent, self._gathered, self._writing = self._gathered, [], True

        def added() -> None:
            for request in sent:
                if request in self.waiting:
                    deadline_s, _ = self.waiting[request]
                    self._floor.stream.add(self.name, request, deadline_s - self._clock.now_s)
            self._writing = False
            if self._gathered:
                self._write()

        def arrived() -> None:
            self._floor.queue.serve(len(sent) * self._costs.queue_s / 2, added)

        self._clock.after(self._costs.path_s / 2, arrived)

    def _overdue(self, request: int) -> None:
        if request in self.waiting:
            self._floor.stream.withdraw(self.name, request)
            self._end(request, 504)

    def _end(self, request: int, status: int) -> None:
        if request in self.waiting:
            _, ended = self.waiting.pop(request)
            ended(status, None)
