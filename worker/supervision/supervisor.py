"""The supervisor: starts fork server, verifiers and workers, restarts what ends, and stops everything.

One thread and one loop: signals, messages, and times at which something is due. It computes nothing and waits
for nobody, so it reaps a worker that ends and orders the next within milliseconds.

    wanted versions ─▶ verifiers ─▶ fork server opens them ─▶ workers are forked with them
           ▲                              │ versions were removed: a successor opens the others beside it,
        SIGHUP reads the repository again │ then workers come from the successor, and the old one ends
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable

import structlog

from shared.cores import available_cores, default_workers
from shared.exit_status import ending
from shared.restart_policy import RestartHistory
from shared.settings import Settings
from shared.worker_records import HeldModel
from worker.control.channel import Channel, ChannelClosedError
from worker.control.messages import (
    Deployed,
    Forked,
    ForkReply,
    Listed,
    NotForked,
    NotOpened,
    NotVerified,
    Opened,
    SandboxStarted,
    SandboxWanted,
    Verified,
)
from worker.control.operating_system import adopt_orphans, is_linux
from worker.supervision.fork_server_link import ForkServerLink, Order, SandboxOrder, spawned
from worker.supervision.probe_file import ProbeFile
from worker.supervision.successions import Succession
from worker.supervision.verifiers import Verifier, Verifiers
from worker.supervision.versions import Stage, WantedVersions
from worker.supervision.workers import Worker, Workers

log = structlog.get_logger(__name__)

TURN_S = 1.0
MOST_EARLY_ENDS = 3
"""Fork servers that may end in a row before they are ready; after that the workers load for themselves."""
EXIT_KILLED = 1


def why_not_forked(settings: Settings) -> str:
    """Why the workers of this machine load their models for themselves; empty: they are forked."""
    if settings.fork == "never":
        return "set by TAKT_FORK"
    return "" if is_linux() else "processes are forked on Linux only"


class Supervisor:
    """One instance per process."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._versions = WantedVersions()
        self._succession = Succession()
        self._server: ForkServerLink | None = None
        self._next_server: ForkServerLink | None = None
        self._server_history = RestartHistory()
        self._server_start_at_s = 0.0
        self._server_since_s = 0.0
        self._epoch = 0
        """Counts the events after which every worker is replaced, whatever it holds."""
        self._verifiers = Verifiers(available_cores(), settings.verify_limit_s, self._launch_verifier)
        count = settings.workers or default_workers(settings.device, available_cores())
        self._workers = Workers(
            settings.worker_name, count, grace_s=settings.shutdown_grace_s, launch=self._launch_worker
        )
        self._probe_file = ProbeFile(settings)
        self._early_ends: dict[int, int] = {}  # pid → status of processes that ended before they were known
        self._signals: deque[int] = deque()
        self._stops = 0
        self._must_succeed_server = False
        self._own_load = ""

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT. → the exit status."""
        self._handle_signals()
        adopt_orphans()
        if reason := why_not_forked(self._settings):
            self._load_in_workers(reason)
        elif self._settings.device != "cpu":
            self._workers.own_load = f"models are loaded on {self._settings.device} by each worker"
        log.info("supervisor_starting", name=self._workers.name, pid=os.getpid())
        with self._probe_file:
            while not self._is_over():
                self._turn()
        return 0

    def _is_over(self) -> bool:
        return bool(self._stops) and not any(self._workers.all)

    def _turn(self) -> None:
        while self._signals:
            self._obey_signal(self._signals.popleft())
        now_s = self._clock()
        if not self._stops:
            self._tend(now_s)
        else:
            self._workers.tend(frozenset(), now_s)  # ends those whose grace is over
        for event, _ in self._selector.select(self._pause_s(now_s)):
            if event.fd in self._selector.get_map():  # otherwise closed by an earlier event of this turn
                event.data()
        self._reap()

    def _pause_s(self, now_s: float) -> float:
        due_s = min(self._workers.next_start_s(), self._verifiers.next_limit_s(), self._server_due_s())
        return min(TURN_S, max(0.0, due_s - now_s)) if self._can_start else TURN_S / 10

    def _server_due_s(self) -> float:
        return self._server_start_at_s if self._server is None and not self._own_load else float("inf")

    @property
    def _can_start(self) -> bool:
        """Whether workers can be started now."""
        return bool(self._own_load) or (self._server is not None and self._server.is_listed)

    def _tend(self, now_s: float) -> None:
        """Do everything that is due."""
        if self._server is None and not self._own_load and now_s >= self._server_start_at_s:
            self._start_server(now_s)
        if self._must_succeed_server and self._next_server is None and now_s >= self._server_start_at_s:
            self._start_next_server()
        self._verifiers.end_late(now_s)
        self._verify()
        self._open()
        self._switch_servers()
        if self._can_start:
            content = self._content()
            self._workers.update(self._states())
            if self._next_server is None:
                self._succession.look(content, now_s, settled=self._is_settled())
            if self._succession.target is not None:
                self._workers.tend(self._succession.target, now_s)
        self._probe_file.write(self._workers.summary())

    # -- versions ------------------------------------------------------------------------------------------

    def _content(self) -> frozenset[str]:
        held = self._server.content() if self._server and not self._own_load else frozenset()
        return held | {f"epoch {self._epoch}"} | {f"own {key}" for key in self._versions.own()}

    def _states(self) -> dict[str, HeldModel]:
        if self._own_load or self._workers.own_load or self._server is None:
            return {}
        return self._versions.states(self._server.opened)

    def _is_settled(self) -> bool:
        if self._own_load or self._workers.own_load or self._server is None:
            return True
        return self._versions.are_settled(set(self._server.opened))

    def _verify(self) -> None:
        server = self._server
        if server is None or not server.is_listed or self._workers.own_load:
            return
        for key in self._versions.waiting():
            version = self._versions.get(key)
            if version is not None and self._verifiers.has_room:
                self._versions.take(key, Stage.VERIFYING)
                self._verifiers.start(key, version.fingerprint, yields=self._workers.any_serves)

    def _open(self) -> None:
        """The successor of a fork server opens everything; the fork server itself, no more after that."""
        server = self._next_server or self._server
        if server is not None and server.is_listed:
            for version in self._versions.verified():
                server.open(version)

    def _listed(self, server: ForkServerLink, listed: Listed) -> None:
        is_first = not server.is_listed
        server.is_listed = True
        if listed.problem:
            log.error("models_not_listed", reason=listed.problem)
            if is_first and self._succession.target is None:
                raise SystemExit(listed.problem)
            return
        if self._workers.own_load or server is not self._server:
            return
        gone = self._versions.want(listed.versions)
        for one in listed.versions:
            if one.problem:
                log.error("model_failed", model=one.key, reason=one.problem)
        if gone & server.fingerprints.keys():
            log.info("versions_removed", models=sorted(gone))
            server.drop(gone)
            self._must_succeed_server = True
            if self._next_server is not None:
                self._next_server.kill()  # it opens what was wanted before

    def _verified(self, verifier: Verifier, reply: Verified | NotVerified) -> None:
        version = self._versions.get(verifier.key)
        if (
            version is None
            or version.fingerprint != verifier.fingerprint
            or version.stage is not Stage.VERIFYING
        ):
            return
        match reply:
            case NotVerified(reason):
                self._fail(verifier.key, reason)
            case Verified(report) if report.own_copy:
                log.warning("model_not_shared", model=verifier.key, reason=report.own_copy)
                self._versions.take(verifier.key, Stage.OWN, reason=report.own_copy, report=report)
            case Verified(report):
                self._versions.take(verifier.key, Stage.VERIFIED, report=report)

    def _fail(self, key: str, reason: str) -> None:
        if self._versions.take(key, Stage.FAILED, reason=reason):
            log.error("model_failed", model=key, reason=reason)

    # -- fork servers --------------------------------------------------------------------------------------

    def _start_server(self, now_s: float) -> None:
        try:
            self._server = self._new_server()
        except OSError as error:
            self._server_ended_early(f"cannot be started: {error.strerror}", now_s)
        else:
            self._server_since_s = now_s

    def _new_server(self) -> ForkServerLink:
        server = ForkServerLink.start(self._workers.deployed)
        self._selector.register(server.channel, selectors.EVENT_READ, lambda: self._read_server(server))
        return server

    def _read_server(self, server: ForkServerLink) -> None:
        try:
            replies = server.replies()
        except ChannelClosedError:
            self._selector.unregister(server.channel)  # it is reaped soon
            return
        for reply in replies:
            self._answered(server, reply)

    def _answered(self, server: ForkServerLink, reply: ForkReply) -> None:
        match reply:
            case Listed():
                self._listed(server, reply)
            case Opened():
                server.settled(reply)
            case NotOpened(key, reason):
                server.settled(reply)
                if reply.spoiled or reply.apart:
                    log.warning("model_not_shared", model=key, reason=reason)
                    self._versions.take(key, Stage.OWN, reason=reason)
                    if reply.spoiled:
                        server.kill()
                else:
                    self._fail(key, reason)
            case Forked(_, pid):
                self._forked(server.answered(reply), pid)
            case NotForked(_, reason):
                self._not_forked(server.answered(reply), reason)
                if reply.unsafe:
                    self._load_in_workers(reason)

    def _forked(self, order: Order | None, pid: int) -> None:
        match order:
            case Worker():
                self._workers.started(order, pid)
            case Verifier():
                self._verifiers.started(order, pid, self._clock())
            case SandboxOrder(worker, ticket):
                self._workers.send(worker, SandboxStarted(ticket))
            case None:
                pass
        if (status := self._early_ends.pop(pid, None)) is not None:
            self._reaped(pid, status)
        if not self._awaits_forks:
            self._early_ends.clear()

    @property
    def _awaits_forks(self) -> bool:
        """Whether a process may exist that is not announced yet."""
        return any(server is not None and server.awaits_forks for server in (self._server, self._next_server))

    def _not_forked(self, order: Order | None, reason: str) -> None:
        match order:
            case Worker():
                self._unregister(order.channel)
                self._workers.refused(order, reason, self._clock())
            case Verifier():
                self._unregister(order.channel)
                self._verifiers.refused(order)
                self._versions.take(order.key, Stage.WAITING)
            case SandboxOrder(worker, ticket):
                self._workers.send(worker, SandboxStarted(ticket, reason))
            case None:
                pass

    def _server_ended(self, server: ForkServerLink, how: str) -> None:
        self._unregister(server.channel)
        orders = server.end()
        if server.opening and self._versions.strike(server.opening[0]):
            log.error(
                "model_failed", model=server.opening[0], reason=f"the fork server {how} while it opened it"
            )
        if server is self._next_server:
            self._next_server = None
        else:
            self._server = None
        for order in orders:
            self._not_forked(order, f"the fork server {how}")
        if not self._stops and not self._own_load:
            self._server_ended_early(how, self._clock(), server)

    def _server_ended_early(self, how: str, now_s: float, server: ForkServerLink | None = None) -> None:
        was_ready = server is not None and server.is_listed
        served_s = now_s - self._server_since_s if was_ready else 0.0
        self._server_history = self._server_history.after_end(served_s)
        delay_s = self._server_history.delay_s()
        self._server_start_at_s = now_s + delay_s
        log.error("fork_server_ended", reason=how, restart_in_s=round(delay_s, 1))
        if not was_ready and self._server_history.early >= MOST_EARLY_ENDS:
            self._load_in_workers(f"the fork server {how} before it was ready")

    def _start_next_server(self) -> None:
        """Start a fork server beside the present one, which cannot give memory back."""
        with contextlib.suppress(OSError):
            self._next_server = self._new_server()

    def _switch_servers(self) -> None:
        """Take workers from the successor once it holds everything that is verified."""
        after, before = self._next_server, self._server
        if after is None or not after.is_listed:
            return
        if before is None or self._versions.are_settled(set(after.opened)):
            self._server, self._next_server, self._must_succeed_server = after, None, False
            self._epoch += 1  # pages of the old one are in use until its workers have ended
            if before is not None:
                self._retire_server(before)

    def _retire_server(self, server: ForkServerLink) -> None:
        self._unregister(server.channel)
        for order in server.end():
            self._not_forked(order, "its fork server was replaced")

    def _load_in_workers(self, reason: str) -> None:
        """Forking is not possible or not wanted: each worker is a program that loads its models."""
        log.warning("models_not_shared", reason=reason, meaning="each worker loads the models for itself")
        self._own_load = self._workers.own_load = reason
        self._verifiers.kill()
        if self._server is not None:
            self._retire_server(self._server)
            self._server = None
        self._epoch += 1

    # -- starts --------------------------------------------------------------------------------------------

    def _launch_worker(self, worker: Worker, end: socket.socket) -> None:
        self._selector.register(worker.channel, selectors.EVENT_READ, lambda: self._read_worker(worker))
        if self._own_load:
            try:
                pid = spawned(["process", str(end.fileno())], end.fileno(), {})
            except OSError as error:
                self._not_forked(worker, f"cannot be started: {error.strerror}")
            else:
                self._workers.started(worker, pid)
        elif self._server is not None:
            self._server.start_worker(worker, end)

    def _launch_verifier(self, verifier: Verifier, end: socket.socket) -> None:
        self._selector.register(verifier.channel, selectors.EVENT_READ, lambda: self._read_verifier(verifier))
        assert self._server is not None
        self._server.verify(verifier, end)

    def _read_worker(self, worker: Worker) -> None:
        try:
            received = worker.channel.receive()
        except ChannelClosedError:
            self._unregister(worker.channel)
            return
        for body, descriptors in received:
            request = self._workers.decoded(body)
            match self._workers.requested(worker, request, self._clock()):
                case SandboxWanted(ticket, key) if self._server is not None:
                    self._server.start_sandbox(SandboxOrder(worker, ticket), key, descriptors)
                case SandboxWanted(ticket):
                    self._workers.send(worker, SandboxStarted(ticket, "there is no fork server"))
                case Deployed(versions):
                    self._deploy(versions)
            for descriptor in descriptors:
                os.close(descriptor)

    def _read_verifier(self, verifier: Verifier) -> None:
        try:
            self._verifiers.read(verifier)
        except ChannelClosedError:
            self._unregister(verifier.channel)

    def _unregister(self, channel: Channel) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(channel)

    # -- ends ----------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Reap every process that has ended, orphans of any kind included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._reaped(pid, status)

    def _reaped(self, pid: int, status: int) -> None:
        for server in (self._server, self._next_server):
            if server is not None and server.pid == pid:
                self._server_ended(server, ending(os.waitstatus_to_exitcode(status)))
                return
        for worker in self._workers.all:
            if worker.pid == pid:
                self._unregister(worker.channel)
        for verifier in self._verifiers.all:
            if verifier.pid == pid:
                self._unregister(verifier.channel)
        if (verified := self._verifiers.ended(pid, status)) is not None:
            self._verified(*verified)
        elif not self._workers.ended(pid, status, self._clock()) and self._awaits_forks:
            self._early_ends[pid] = status  # of a fork that is not announced yet, or of no interest

    # -- signals -------------------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        """Wake the loop with each signal."""
        read_end, write_end = socket.socketpair()
        for end in (read_end, write_end):
            end.setblocking(False)
        self._wakeup = write_end  # kept open
        signal.set_wakeup_fd(write_end.fileno())
        self._selector.register(read_end, selectors.EVENT_READ, lambda: self._drain(read_end))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._signals.append(number))

    @staticmethod
    def _drain(end: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while end.recv(4096):
                pass

    def _obey_signal(self, number: int) -> None:
        if number != signal.SIGHUP:
            self._stop(number)
        elif not self._stops:
            self._read_again()

    def _read_again(self) -> None:
        """Read the repository again: verify new versions, and let go of removed ones."""
        if self._own_load or self._workers.own_load:
            self._epoch += 1
        elif self._server is not None:
            self._server.list_versions(self._workers.deployed)

    def _deploy(self, versions: dict[str, list[str]]) -> None:
        """Follow the deployments that a worker has read."""
        if versions != self._workers.deployed and not self._stops:
            log.info("deployments_changed", models=sorted(versions))
            self._workers.deployed = versions
            self._read_again()

    def _stop(self, number: int) -> None:
        """Let the workers finish; at the second signal, end them at once."""
        self._stops += 1
        if self._stops > 1:
            self._workers.kill()
            return
        log.info("supervisor_stopping", signal=signal.Signals(number).name)
        self._verifiers.kill()
        self._workers.stop(self._clock())
        for server in (self._server, self._next_server):
            if server is not None:
                self._retire_server(server)
