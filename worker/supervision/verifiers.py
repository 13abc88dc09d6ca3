"""The verifiers of a supervisor: processes that open and verify a version each, within a limit of time."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from shared.exit_status import ending
from worker.control.channel import Channel, ChannelClosedError
from worker.control.control_messages import NotVerified, VerifierReply


@dataclass
class Verifier:
    """A verifier process, from the order to start it until it is reaped."""

    key: str
    fingerprint: str
    channel: Channel
    yields: bool
    pid: int = 0
    ends_at_s: float = math.inf  # its limit of time
    reply: VerifierReply | None = None
    is_late: bool = False


class Verifiers:
    """Runs a few verifiers at a time."""

    def __init__(self, most: int, limit_s: float, launch: Callable[[Verifier, socket.socket], None]) -> None:
        self._most = most
        self._limit_s = limit_s
        self._launch = launch
        self._running: list[Verifier] = []
        self._decoder = msgspec.msgpack.Decoder(VerifierReply)

    @property
    def all(self) -> tuple[Verifier, ...]:
        return tuple(self._running)

    @property
    def has_room(self) -> bool:
        return len(self._running) < self._most

    def start(self, key: str, fingerprint: str, *, yields: bool) -> None:
        channel, other = Channel.pair()
        verifier = Verifier(key, fingerprint, channel, yields)
        self._running.append(verifier)
        self._launch(verifier, other)

    def started(self, verifier: Verifier, pid: int, now_s: float) -> None:
        verifier.pid, verifier.ends_at_s = pid, now_s + self._limit_s

    def refused(self, verifier: Verifier) -> None:
        """No process was started for it."""
        verifier.channel.close()
        self._running.remove(verifier)

    def read(self, verifier: Verifier) -> None:
        """Read its report. Raises ChannelClosedError once it has closed its end."""
        for body, _ in verifier.channel.receive():
            verifier.reply = self._decoder.decode(body)

    def next_limit_s(self) -> float:
        return min((verifier.ends_at_s for verifier in self._running), default=math.inf)

    def end_late(self, now_s: float) -> None:
        """End the verifiers whose time is over."""
        for verifier in self._running:
            if now_s >= verifier.ends_at_s:
                verifier.is_late, verifier.ends_at_s = True, math.inf
                self._kill(verifier)

    def ended(self, pid: int, status: int) -> tuple[Verifier, VerifierReply] | None:
        """A process was reaped. → the verifier and its result; None: it was none."""
        verifier = next((one for one in self._running if one.pid == pid), None)
        if verifier is None:
            return None
        with contextlib.suppress(ChannelClosedError):
            while verifier.reply is None and select.select([verifier.channel], [], [], 0)[0]:
                self.read(verifier)
        verifier.channel.close()
        self._running.remove(verifier)
        return verifier, verifier.reply or NotVerified(self._failure(verifier, status))

    def _failure(self, verifier: Verifier, status: int) -> str:
        if verifier.is_late:
            return f"not verified within {self._limit_s:g} s (TAKT_VERIFY_LIMIT_S)"
        return f"the process that verified it {ending(os.waitstatus_to_exitcode(status))}"

    def kill(self) -> None:
        for verifier in self._running:
            self._kill(verifier)

    @staticmethod
    def _kill(verifier: Verifier) -> None:
        if verifier.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(verifier.pid, signal.SIGKILL)
