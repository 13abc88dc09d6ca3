"""The workers of a supervisor: starts them, restarts those that end, and replaces them by successors.

Each worker has a slot, `{supervisor}/{number}`, with a restart history of its own: a crash loop in a slot
delays no other. A successor serves before the worker that it follows gets the order to stop.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
import structlog

from shared.backoff import RestartHistory, RestartPolicy
from shared.exit_status import ending
from shared.worker_records import HeldModel, LastExit, ModelsMemory, SupervisorFacts
from worker.control.channel import Channel, ChannelClosedError
from worker.control.control_messages import (
    DemandedVersions,
    Deployed,
    EnvironmentsWanted,
    ModelStates,
    RestartWanted,
    SandboxWanted,
    Serving,
    WorkerRequest,
    WorkerStart,
)
from worker.control.operating_system import memory_kills

log = structlog.get_logger(__name__)

POLICY = RestartPolicy()
KILL_MARGIN_S = 5.0
MOST_EXITS = 10
"""Of the latest unordered ends, so many are reported."""
"""Beyond the grace, after which a worker has ended by itself."""


@dataclass
class Worker:
    """A worker process, from the order to start it until it is reaped."""

    id: str
    content: frozenset[str]
    channel: Channel
    other_end: socket.socket  # until the process has it
    pid: int = 0  # 0: not forked yet
    serving_since_s: float | None = None
    kill_at_s: float = math.inf
    ended_by_us: bool = False
    hung_s: float = 0.0  # for how long it had given no sign of life when it was killed; 0: it was not
    is_to_restart: bool = False  # as an operator ordered

    def served_s(self, now_s: float) -> float:
        return 0.0 if self.serving_since_s is None else now_s - self.serving_since_s


@dataclass
class WorkerSlot:
    """A slot for a worker and its successor."""

    number: int
    history: RestartHistory = field(default_factory=lambda: RestartHistory(policy=POLICY))
    worker: Worker | None = None
    successor: Worker | None = None
    start_at_s: float = 0.0
    ended: list[str] = field(default_factory=list)
    """Ids of workers whose work the next worker here takes over."""


class WorkerGroup:
    """Owns the worker processes. `launch` starts a process for a socket; `started` or `refused` follow."""

    def __init__(
        self,
        name: str,
        count: int,
        *,
        grace_s: float,
        launch: Callable[[Worker, socket.socket], None],
        facts: Callable[[], SupervisorFacts],
        first_number: int = 0,
        signal_process: Callable[[int, signal.Signals], None] = os.kill,
        now: Callable[[], str] = lambda: datetime.now(UTC).isoformat(timespec="seconds"),
    ) -> None:
        self.name = name
        self._slots = [WorkerSlot(number) for number in range(count)]
        self._first_number = first_number
        self._facts = facts
        self._grace_s = grace_s
        self._launch = launch
        self._signal = signal_process
        self._now = now
        self._leaving: list[Worker] = []
        self.restarts = 0
        self.last_exits: deque[LastExit] = deque(maxlen=MOST_EXITS)
        self._memory_kills = memory_kills()
        self._decoder = msgspec.msgpack.Decoder(WorkerRequest)
        self.states: Mapping[str, HeldModel] = {}
        self._memory: ModelsMemory | None = None
        self.own_load = ""
        self.deployed: Mapping[str, list[str]] = {}

    @property
    def all(self) -> Iterator[Worker]:
        for slot in self._slots:
            yield from (worker for worker in (slot.worker, slot.successor) if worker)
        yield from self._leaving

    def ids(self) -> list[str]:
        """The ids of the workers that run, except those that are replaced."""
        return [slot.worker.id for slot in self._slots if slot.worker]

    @property
    def any_serves(self) -> bool:
        return any(worker.serving_since_s is not None for worker in self.all)

    def next_start_s(self) -> float:
        """The earliest time at which `tend` has something to do."""
        starts = [slot.start_at_s for slot in self._slots if slot.worker is None]
        return min([*starts, *(worker.kill_at_s for worker in self.all)], default=math.inf)

    # -- starts --------------------------------------------------------------------------------------------

    def tend(self, content: frozenset[str], now_s: float, *, starts: bool = True) -> None:
        """Start the workers that are due, and replace at most one of those with another content or
        the order to restart.

        `starts`: False while no worker with this content can be started.
        """
        for slot in self._slots:
            if slot.worker is None:
                if starts and now_s >= slot.start_at_s:
                    slot.worker = self._ordered(slot, content)
                    self._start(slot.worker)
            elif slot.successor is not None and slot.successor.content != content:
                self._abandon(slot.successor)
            elif (
                starts
                and slot.successor is None
                and (slot.worker.is_to_restart or slot.worker.content != content)
            ):
                self._replace(slot, slot.worker, content, now_s)
        for worker in self.all:
            if now_s >= worker.kill_at_s:
                worker.kill_at_s = math.inf
                self._send_signal(worker, signal.SIGKILL)

    def _replace(self, slot: WorkerSlot, worker: Worker, content: frozenset[str], now_s: float) -> None:
        if worker.serving_since_s is None:  # it holds no work, and another would delay its replacement
            self._abandon(worker)
        elif now_s >= slot.start_at_s and not any(other.successor for other in self._slots):
            slot.successor = self._ordered(slot, content, follows=worker.id)
            self._start(slot.successor)

    def _abandon(self, worker: Worker) -> None:
        """End a worker that does not serve yet: another content is wanted."""
        worker.ended_by_us = True
        self._send_signal(worker, signal.SIGKILL)

    def _ordered(self, slot: WorkerSlot, content: frozenset[str], follows: str = "") -> Worker:
        """A worker that has its first message, but no process yet."""
        channel, other = Channel.pair()
        worker_id = f"{self.name}/{slot.number}:{uuid4().hex[:8]}"
        order = WorkerStart(
            id=worker_id,
            number=self._first_number + slot.number,
            supervisor=self._facts(),
            dead=list(slot.ended),
            follows=follows,
            states=dict(self.states),
            own_load=self.own_load,
            deployed=dict(self.deployed),
            memory=self._memory,
        )
        channel.send(order)
        return Worker(worker_id, content, channel, other)

    def _start(self, worker: Worker) -> None:
        with worker.other_end as end:
            self._launch(worker, end)

    def started(self, worker: Worker, pid: int) -> None:
        worker.pid = pid
        log.info("worker_started", worker=worker.id, pid=pid)
        if worker.ended_by_us or worker in self._leaving:  # ordered before it had a process
            self._send_signal(worker, signal.SIGKILL)

    def refused(self, worker: Worker, reason: str, now_s: float) -> None:
        """No process was started for it."""
        for slot in self._slots:
            if worker in (slot.worker, slot.successor):
                slot.history = slot.history.after_end(served_s=0.0)
                slot.start_at_s = now_s + slot.history.delay_s()
                log.error(
                    "worker_not_started", worker=worker.id, reason=reason, retry_s=slot.history.delay_s()
                )
                self._forget(slot, worker)
        if worker in self._leaving:
            self._leaving.remove(worker)
        worker.channel.close()

    # -- ends ----------------------------------------------------------------------------------------------

    def ended(self, pid: int, status: int, now_s: float) -> bool:
        """A process was reaped. → whether it was a worker."""
        worker = next((one for one in self.all if one.pid == pid), None)
        if worker is None:
            return False
        worker.channel.close()
        if worker in self._leaving:
            self._leaving.remove(worker)
            log.info(
                "worker_ended", worker=worker.id, pid=pid, reason=ending(os.waitstatus_to_exitcode(status))
            )
            return True
        slot = next(one for one in self._slots if worker in (one.worker, one.successor))
        slot.ended.append(worker.id)
        if not worker.ended_by_us:
            self._record_crash(slot, worker, self._reason(worker, status), now_s)
        self._forget(slot, worker)
        return True

    def _record_crash(self, slot: WorkerSlot, worker: Worker, reason: str, now_s: float) -> None:
        slot.history = slot.history.after_end(worker.served_s(now_s))
        slot.start_at_s = now_s + slot.history.delay_s()
        self.restarts += 1
        self.record_exit(worker.id, reason)
        log.error(
            "worker_ended",
            worker=worker.id,
            pid=worker.pid,
            reason=reason,
            restart_in_s=round(slot.history.delay_s(), 1),
            restarts=self.restarts,
        )

    def record_exit(self, name: str, reason: str) -> None:
        """Report an unordered end of a worker, or of the fork server."""
        self.last_exits.append(LastExit(worker=name, at=self._now(), reason=reason))

    def _forget(self, slot: WorkerSlot, worker: Worker) -> None:
        if worker is slot.successor:
            slot.successor = None
        else:
            slot.worker, slot.successor = slot.successor, None

    def hangs(self, worker_id: str, silent_s: float) -> None:
        """A worker gave no sign of life for so long: end it, so that it is restarted."""
        for worker in self.all:
            if worker.id == worker_id and worker not in self._leaving:
                worker.hung_s = silent_s
                self._send_signal(worker, signal.SIGKILL)

    def _reason(self, worker: Worker, status: int) -> str:
        if worker.hung_s:
            return f"hung: it was killed after {worker.hung_s:.0f} s without a sign of life"
        how, before = ending(os.waitstatus_to_exitcode(status)), self._memory_kills
        self._memory_kills = memory_kills()
        is_for_memory = self._memory_kills > before and how.endswith("SIGKILL")
        return f"{how}, by the kernel for want of memory" if is_for_memory else how

    # -- messages ------------------------------------------------------------------------------------------

    def decoded(self, body: bytes) -> WorkerRequest:
        request: WorkerRequest = self._decoder.decode(body)
        return request

    def requested(
        self, worker: Worker, request: WorkerRequest, now_s: float
    ) -> SandboxWanted | Deployed | EnvironmentsWanted | DemandedVersions | None:
        """Handle a worker's message. → what the supervisor is to do for it."""
        match request:
            case Serving():
                self._serves(worker, now_s)
                return None
            case RestartWanted():
                worker.is_to_restart = True
                log.info("worker_restart_ordered", worker=worker.id)
                return None
            case SandboxWanted() | Deployed() | EnvironmentsWanted() | DemandedVersions():
                return request

    def _serves(self, worker: Worker, now_s: float) -> None:
        worker.serving_since_s = now_s
        for slot in self._slots:
            if worker is slot.worker:
                slot.ended.clear()
            elif worker is slot.successor:
                slot.ended.clear()
                before, slot.worker, slot.successor = slot.worker, worker, None
                if before:
                    log.info("worker_replaced", worker=before.id, successor=worker.id)
                    self._dismiss(before, now_s)

    def _dismiss(self, worker: Worker, now_s: float) -> None:
        self._leaving.append(worker)
        worker.kill_at_s = now_s + self._grace_s + KILL_MARGIN_S
        self._send_signal(worker, signal.SIGTERM)

    def update(self, states: Mapping[str, HeldModel], memory: ModelsMemory | None = None) -> None:
        """Announce the states of the wanted versions and their memory, if they have changed."""
        if (states, memory) == (self.states, self._memory):
            return
        self.states, self._memory = states, memory
        for worker in self.all:
            self.send(worker, ModelStates(dict(states), memory))

    def send(self, worker: Worker, message: msgspec.Struct) -> None:
        try:
            worker.channel.send(message)
        except ChannelClosedError as error:
            log.warning("worker_unreachable", worker=worker.id, reason=str(error))

    # -- stop ----------------------------------------------------------------------------------------------

    def stop(self, now_s: float) -> None:
        """Let every worker finish its work within its grace."""
        for worker in list(self.all):
            if worker not in self._leaving:
                self._dismiss(worker, now_s)
        self._slots = []

    def kill(self) -> None:
        for worker in self.all:
            self._send_signal(worker, signal.SIGKILL)

    def _send_signal(self, worker: Worker, number: signal.Signals) -> None:
        if worker.pid:
            with contextlib.suppress(ProcessLookupError):
                self._signal(worker.pid, number)
