"""The supervisor's side of a fork server: its process, what it holds, and the orders that it has not
answered."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import msgspec
import structlog

from shared.worker_records import HeldModel
from worker.control.channel import Channel, ChannelClosedError
from worker.control.control_messages import (
    Forked,
    ForkReply,
    Listed,
    ListVersions,
    NotForked,
    NotOpened,
    Open,
    Opened,
    StartSandbox,
    StartServer,
    StartWorker,
    Verify,
)
from worker.environments.commands import command_in, own_command, variables_in_environment
from worker.supervision.verifiers import Verifier
from worker.supervision.version_stages import Version
from worker.supervision.worker_slots import Worker

log = structlog.get_logger(__name__)

_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # its pool starts at import; a worker sets its own number
    "OMP_NUM_THREADS": "1",  # some libraries open a model in parallel
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # Arrow's jemalloc has a thread even if it is not used
}
"""Libraries start threads at import, which would not survive a fork."""


@dataclass(frozen=True)
class SandboxOrder:
    """A worker's request for a sandbox."""

    worker: Worker
    ticket: int  # of the worker


Order: TypeAlias = "Worker | Verifier | SandboxOrder | ForkServerLink"


@dataclass
class ForkServerLink:
    """A running fork server."""

    pid: int  # 0: not forked yet
    channel: Channel
    opened: dict[str, HeldModel] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)  # of what is opened or to be opened
    opening: list[str] = field(default_factory=list)  # in the order in which it opens them
    is_listed: bool = False
    is_fresh: bool = True
    """Whether it has not been ordered to open a version."""
    ended_by_us: bool = False
    _orders: dict[int, Order] = field(default_factory=dict)
    _tickets: int = 0
    _decoder: msgspec.msgpack.Decoder[ForkReply] = field(
        default_factory=lambda: msgspec.msgpack.Decoder(ForkReply)
    )

    @classmethod
    def start(cls, deployed: Mapping[str, list[str]], python: Path | None) -> ForkServerLink:
        """Start a fork server. `python`: the interpreter of an environment. Raises OSError."""
        channel, other = Channel.pair()
        try:
            pid = spawned(["fork-server", str(other.fileno())], other.fileno(), _ENVIRONMENT, python)
        except OSError:
            channel.close()
            raise
        finally:
            other.close()
        link = cls(pid, channel)
        link.list_versions(deployed)
        return link

    def replies(self) -> list[ForkReply]:
        """What has arrived. Raises ChannelClosedError."""
        return [self._decoder.decode(body) for body, _ in self.channel.receive()]

    def list_versions(self, deployed: Mapping[str, list[str]]) -> None:
        self._send(ListVersions(dict(deployed)))

    def open(self, version: Version, *, yields: bool = False) -> None:
        """Order to open a verified version, unless that was ordered before. `yields`: at a lower priority."""
        if self.fingerprints.get(version.key) != version.fingerprint and version.report is not None:
            self.fingerprints[version.key] = version.fingerprint
            self.opening.append(version.key)
            self.is_fresh = False
            self._send(Open(version.key, version.report, yields))

    def verify(self, verifier: Verifier, end: socket.socket) -> None:
        with end:
            self._order(
                verifier, lambda ticket: Verify(ticket, verifier.key, verifier.yields), [end.fileno()]
            )

    def start_worker(self, worker: Worker, end: socket.socket) -> None:
        self._order(worker, StartWorker, [end.fileno()])

    def start_sandbox(self, order: SandboxOrder, key: str, descriptors: Sequence[int]) -> None:
        self._order(order, lambda ticket: StartSandbox(ticket, key), descriptors)

    def start_spare(self) -> ForkServerLink:
        """Order a fork without models. It has the frameworks, because this server has imported them."""
        channel, other = Channel.pair()
        spare = ForkServerLink(0, channel)
        with other:
            self._order(spare, StartServer, [other.fileno()])
        return spare

    @property
    def awaits_forks(self) -> bool:
        return bool(self._orders)

    def answered(self, reply: Forked | NotForked) -> Order | None:
        return self._orders.pop(reply.ticket, None)

    def settled(self, reply: Opened | NotOpened) -> None:
        """An order to open has been answered."""
        with contextlib.suppress(ValueError):
            self.opening.remove(reply.key)
        match reply:
            case Opened(key, held) if key in self.fingerprints:  # else dropped meanwhile
                self.opened[key] = held
            case NotOpened(key):
                self.fingerprints.pop(key, None)
            case Opened():
                pass

    def listed(self, _: Listed) -> None:
        self.is_listed = True

    def drop(self, keys: set[str]) -> None:
        """These versions are no longer wanted; their memory stays in use until this process ends."""
        for key in keys:
            self.opened.pop(key, None)
            self.fingerprints.pop(key, None)

    def content(self) -> frozenset[str]:
        """What a worker that is forked now gets."""
        return frozenset(content_of(key, self.fingerprints.get(key, "")) for key in self.opened)

    def lacks(self, versions: Iterable[Version], content: Container[str]) -> bool:
        """Whether a worker's content has one of these versions, which is not open here yet."""
        missing = [one for one in versions if one.key not in self.opened]
        return any(content_of(one.key, one.fingerprint) in content for one in missing)

    def end(self) -> list[Order]:
        """Close the channel, which ends the process. → the orders that it has not answered."""
        self.channel.close()
        orders, self._orders = list(self._orders.values()), {}
        return orders

    def kill(self) -> None:
        self.ended_by_us = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _order(self, order: Order, message: object, descriptors: Sequence[int]) -> None:
        self._tickets += 1
        self._orders[self._tickets] = order
        assert callable(message)
        self._send(message(self._tickets), descriptors)

    def _send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """A fork server that has ended is noticed when it is reaped."""
        with contextlib.suppress(ChannelClosedError):
            self.channel.send(message, descriptors)


def content_of(key: str, fingerprint: str) -> str:
    """A version in the content of a worker."""
    return f"{key} {fingerprint}"


def spawned(
    arguments: Sequence[str], inherited: int, variables: Mapping[str, str], python: Path | None
) -> int:
    """Start `python -m worker …` with a descriptor. → its process id. Raises OSError.

    `python`: the interpreter of an environment; None: the own one. The supervisor reaps all its children
    itself, which `subprocess` would not expect.
    """
    os.set_inheritable(inherited, True)
    command = command_in(python, *arguments) if python else own_command(*arguments)
    environment = variables_in_environment() if python else dict(os.environ)
    return os.posix_spawn(command[0], command, {**environment, **variables})
