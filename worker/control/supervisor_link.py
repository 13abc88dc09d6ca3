"""A worker's side of its channel to the supervisor."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping

import msgspec
import structlog

from shared.keys import ModelKey
from shared.worker_records import HeldModel, ModelsMemory
from worker.control.channel import Channel, ChannelClosedError
from worker.control.control_messages import (
    DemandedVersions,
    Deployed,
    EnvironmentsWanted,
    ModelStates,
    RestartWanted,
    SandboxStarted,
    SandboxWanted,
    Serving,
    WorkerOrder,
    WorkerStart,
)

log = structlog.get_logger(__name__)

SANDBOX_LIMIT_S = 30.0
"""How long a worker waits for a sandbox: the fork server may be opening a large model."""


class SandboxNotStartedError(Exception):
    """No sandbox could be forked. The message is the reason."""


class SupervisorLink(threading.Thread):
    """Reads the supervisor's orders until it ends; then the worker stops, as after SIGTERM."""

    def __init__(self, channel: Channel) -> None:
        """Waits for the first message. Raises ChannelClosedError."""
        super().__init__(name="supervisor", daemon=True)
        self._channel = channel
        self._decoder = msgspec.msgpack.Decoder(WorkerOrder)
        self._sending = threading.Lock()
        self._answers: dict[int, SandboxStarted | None] = {}
        self._answered = threading.Condition()
        self._tickets = 0
        self.on_states: Callable[[Mapping[str, HeldModel], ModelsMemory | None], None] = lambda *_: None
        orders = self._received()
        while not orders:
            orders = self._received()
        first, *self._early = orders
        assert isinstance(first, WorkerStart)
        self.start_order = first

    def serving(self) -> None:
        self._send(Serving())

    def deployed(self, versions: dict[str, list[str]]) -> None:
        """Announce the versions that deployments want, by model."""
        self._send(Deployed(versions))

    def environments(self, names: list[str]) -> None:
        """Announce the environments of wanted versions that this worker does not load."""
        self._send(EnvironmentsWanted(names))

    def demand(self, used: dict[str, float], asked: list[str]) -> None:
        """Announce the versions on demand that are in use, with the seconds since then, and those that wait
        to be loaded."""
        self._send(DemandedVersions(used, asked))

    def restart(self) -> None:
        """Have a successor started; this worker ends once the successor serves."""
        self._send(RestartWanted())

    def start_sandbox(self, key: ModelKey, tasks: int, answers: int) -> None:
        """Have a sandbox forked that reads `tasks` and writes `answers`. Raises SandboxNotStartedError."""
        with self._answered:
            self._tickets += 1
            ticket = self._tickets
            self._answers[ticket] = None
            self._send(SandboxWanted(ticket, key), [tasks, answers])
            self._answered.wait_for(lambda: self._answers[ticket] is not None, SANDBOX_LIMIT_S)
            answer = self._answers.pop(ticket)
        if answer is None or answer.problem:
            raise SandboxNotStartedError(answer.problem if answer else "the fork server does not answer")

    def run(self) -> None:
        try:
            while True:
                for order in self._early or self._received():
                    self._obey(order)
                self._early = []
        except ChannelClosedError:
            log.warning("supervisor_ended", meaning="this worker stops")
            os.kill(os.getpid(), signal.SIGTERM)

    def _obey(self, order: WorkerOrder) -> None:
        match order:
            case ModelStates(states, memory):
                self.on_states(states, memory)
            case SandboxStarted(ticket):
                with self._answered:
                    if ticket in self._answers:
                        self._answers[ticket] = order
                    self._answered.notify_all()
            case WorkerStart():
                pass

    def _received(self) -> list[WorkerOrder]:
        return [self._decoder.decode(body) for body, _ in self._channel.receive()]

    def _send(self, message: msgspec.Struct, descriptors: list[int] | None = None) -> None:
        try:
            with self._sending:
                self._channel.send(message, descriptors or [])
        except ChannelClosedError as error:
            log.warning("supervisor_unreachable", reason=str(error))
