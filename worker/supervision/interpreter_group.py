"""The processes of one interpreter: a fork server, the verifiers and the workers that it forks.

The versions without an environment have a group, and so has each environment. A group decides what is due and
handles what its processes send; the supervisor has the loop, the signals and the list of groups.

    wanted versions ─▶ verifiers ─▶ fork server opens them ─▶ workers are forked with them
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from shared.cpu_cores import available_cores, default_workers
from shared.environments import interpreter_of
from shared.worker_records import HeldModel, ModelsMemory
from worker.control.channel import ChannelClosedError
from worker.control.control_messages import (
    DemandedVersions,
    Deployed,
    EnvironmentsWanted,
    Forked,
    ForkReply,
    Listed,
    NotForked,
    NotOpened,
    NotVerified,
    Opened,
    SandboxStarted,
    SandboxWanted,
    VersionVerified,
)
from worker.control.operating_system import is_suspended
from worker.supervision.fork_server_link import (
    ForkServerLink,
    Order,
    SandboxOrder,
    spawned,
)
from worker.supervision.fork_servers import ForkServers, GroupContext, why_not_forked
from worker.supervision.silent_workers import of_files
from worker.supervision.verifiers import Verifier, Verifiers
from worker.supervision.version_memory import VersionMemory
from worker.supervision.version_stages import MOST_STRIKES, VersionStage, WantedVersions
from worker.supervision.worker_replacement import WorkerReplacement
from worker.supervision.worker_slots import Worker, WorkerGroup

log = structlog.get_logger(__name__)

_SHORT = 8
"""Digits of an environment in the names of its workers."""


class InterpreterGroup:
    """`environment`: its name; empty: versions without an environment, and the supervisor's interpreter."""

    def __init__(
        self,
        context: GroupContext,
        environment: str = "",
        *,
        number: int = 0,
        deployed: Mapping[str, list[str]],
    ) -> None:
        settings = context.settings
        self.environment = environment
        self.number = number
        self._context = context
        self._python: Path | None = (
            interpreter_of(settings.environments_dir, environment) if environment else None
        )
        self._clock = context.clock
        self._versions = WantedVersions(on_demand=settings.models_on_demand)
        self._replacement = WorkerReplacement()
        self._servers = ForkServers(context, self._python, self)
        self._epoch = 0
        """Counts the events after which every worker is replaced, whatever it holds."""
        self._verifiers = Verifiers(available_cores(), settings.verify_limit_s, self._launch_verifier)
        self.size = settings.workers or default_workers(settings.device, available_cores())
        self._memory = VersionMemory(self._versions, context.budget, copies=self.size)
        self._silent = of_files(settings)
        suffix = f"-{environment[:_SHORT]}" if environment else ""
        self.workers = WorkerGroup(
            f"{settings.worker_name}{suffix}",
            self.size,
            first_number=number * self.size,
            grace_s=settings.shutdown_grace_s,
            launch=self._launch_worker,
            facts=context.facts,
        )
        self.workers.deployed = deployed
        self._own_load = ""
        self.stops = False
        if reason := why_not_forked(settings):
            self.load_in_workers(reason)
        elif settings.device != "cpu":
            self.workers.own_load = f"models are loaded on {settings.device} by each worker"

    @property
    def is_over(self) -> bool:
        return self.stops and not any(self.workers.all)

    @property
    def problem(self) -> str:
        """Why workers that end are not restarted now; empty: they are."""
        server = self._server
        return "its fork server is suspended" if server and is_suspended(server.pid) else ""

    def turn(self, now_s: float) -> None:
        """Do everything that is due."""
        if self.stops:
            self.workers.tend(frozenset(), now_s)  # ends those whose grace is over
        else:
            self._tend(now_s)

    def pause_s(self, now_s: float, longest_s: float) -> float:
        """How long the supervisor may wait for events."""
        due_s = min(self.workers.next_start_s(), self._verifiers.next_limit_s(), self._servers.due_s())
        starts = self._can_start and not self._reopens
        return min(longest_s, max(0.0, due_s - now_s)) if starts else longest_s / 10

    @property
    def _server(self) -> ForkServerLink | None:
        """The fork server from which workers come; None if there is none now, or workers load themselves."""
        return None if self._own_load else self._servers.current

    @property
    def _can_start(self) -> bool:
        """Whether workers can be started now."""
        return bool(self._own_load) or (self._server is not None and self._server.is_listed)

    @property
    def _reopens(self) -> bool:
        """Whether a new fork server has not opened everything yet that the workers of the last one hold."""
        target = self._replacement.target or frozenset()
        return self._server is not None and self._server.lacks(self._versions.verified(), target)

    def _tend(self, now_s: float) -> None:
        """Do everything that is due."""
        self._servers.drop(self._memory.tend(now_s))
        self._servers.start_due(now_s, self.workers.deployed)
        self._verifiers.end_late(now_s)
        self._verify()
        self._open()
        if self._servers.switch(self._versions.are_settled):
            self._epoch += 1  # pages of the old fork server are in use until its workers have ended
        if self._can_start:
            content = self._content()
            self.workers.update(self._states(), self._memory_facts())
            if self._servers.successor is None and not (self._reopens and self.workers.any_serves):
                self._replacement.look(content, now_s, settled=self._is_settled())
            if self._replacement.target is not None:
                self.workers.tend(self._replacement.target, now_s, starts=not self._reopens)
        ids = [worker.id for worker in self.workers.all]
        loads = bool(self._own_load or self.workers.own_load or self._versions.own())
        for worker, silent_s in self._silent.look(ids, now_s, loads=loads).items():
            self.workers.hangs(worker, silent_s)

    # -- versions ------------------------------------------------------------------------------------------

    def _content(self) -> frozenset[str]:
        held = self._server.content() if self._server and not self._own_load else frozenset()
        return held | {f"epoch {self._epoch}"} | {f"own {key}" for key in self._versions.own()}

    def _states(self) -> dict[str, HeldModel]:
        if self._own_load or self.workers.own_load or self._server is None:
            return {}
        return self._versions.states(self._server.opened)

    def _memory_facts(self) -> ModelsMemory | None:
        """None: each worker loads its models for itself, and nothing is measured."""
        return None if self._own_load or self.workers.own_load else self._memory.facts

    def _is_settled(self) -> bool:
        if self._own_load or self.workers.own_load or self._server is None:
            return True
        return self._versions.are_settled(set(self._server.opened))

    def _verify(self) -> None:
        server = self._server
        if server is None or not server.is_listed or self.workers.own_load:
            return
        for key in self._versions.waiting():
            version = self._versions.get(key)
            if version is not None and self._verifiers.has_room:
                self._versions.take(key, VersionStage.VERIFYING)
                self._verifiers.start(key, version.fingerprint, yields=self.workers.any_serves)

    def _open(self) -> None:
        server = self._servers.newest if not self._own_load else None
        if server is not None and server.is_listed:
            for version in self._versions.verified():
                if server.is_fresh:
                    self._servers.keep_spare(server)
                server.open(version, yields=self.workers.any_serves)

    def _listed(self, server: ForkServerLink, listed: Listed) -> None:
        is_first = not server.is_listed
        server.is_listed = True
        if listed.problem:
            log.error("models_not_listed", reason=listed.problem)
            if is_first and self._replacement.target is None and not self.environment:
                raise SystemExit(listed.problem)
            return
        if server is not self._server:
            return
        self._announce_environments(listed.environments)
        if self.workers.own_load:
            return
        gone = self._versions.want(listed.versions)
        self._memory.give_back(gone)
        for one in listed.versions:
            if one.problem:
                log.error("model_failed", model=one.key, reason=one.problem)
        if gone & server.fingerprints.keys():
            log.info("versions_removed", models=sorted(gone))
        self._servers.drop(gone)

    def _announce_environments(self, names: Sequence[str]) -> None:
        """Only the group without an environment lists those of others."""
        if not self.environment:
            self._context.on_environments(names)

    def _verified(self, verifier: Verifier, reply: VersionVerified | NotVerified) -> None:
        if (version := self._versions.verifying(verifier.key, verifier.fingerprint)) is None:
            return
        match reply:
            case NotVerified(reason):
                self._fail(verifier.key, reason)
            case VersionVerified(report):
                self._memory.measured(version, report.own_copy, report)

    def _fail(self, key: str, reason: str) -> None:
        self._memory.give_back([key])
        if self._versions.take(key, VersionStage.FAILED, reason=reason):
            log.error("model_failed", model=key, reason=reason)

    # -- fork servers --------------------------------------------------------------------------------------

    @property
    def awaits_forks(self) -> bool:
        """Whether a process may exist that is not announced yet."""
        return self._servers.awaits_forks

    def answered(self, server: ForkServerLink, reply: ForkReply) -> None:
        match reply:
            case Listed():
                self._listed(server, reply)
            case Opened():
                server.settled(reply)
            case NotOpened(key, reason):
                server.settled(reply)
                version = self._versions.get(key)
                if version is not None and (reply.spoiled or reply.apart):
                    self._memory.measured(version, reason)
                else:
                    self._fail(key, reason)
                if reply.spoiled:
                    server.kill()
            case Forked(_, pid):
                self._forked(server.answered(reply), pid)
            case NotForked(_, reason):
                self.not_forked(server.answered(reply), reason)
                if reply.unsafe:
                    self.load_in_workers(reason)

    def _forked(self, order: Order | None, pid: int) -> None:
        match order:
            case Worker():
                self.workers.started(order, pid)
            case Verifier():
                self._verifiers.started(order, pid, self._clock())
            case SandboxOrder(worker, ticket):
                self.workers.send(worker, SandboxStarted(ticket))
            case ForkServerLink():
                order.pid = pid
        if (status := self._context.early_ends.pop(pid, None)) is not None:
            self.reaped(pid, status)

    def not_forked(self, order: Order | None, reason: str) -> None:
        match order:
            case Worker():
                self._context.unregister(order.channel)
                self.workers.refused(order, reason, self._clock())
            case Verifier():
                self._context.unregister(order.channel)
                self._verifiers.refused(order)
                self._versions.take(order.key, VersionStage.WAITING)
            case SandboxOrder(worker, ticket):
                self.workers.send(worker, SandboxStarted(ticket, reason))
            case ForkServerLink():
                self._servers.lose_spare(order)

    def opening_failed(self, key: str, how: str) -> None:
        if self._versions.strike(key):
            self._fail(key, f"{MOST_STRIKES} fork servers ended while they opened it: the last {how}")

    def fork_server_ended(self, how: str) -> None:
        self.workers.record_exit("fork server", how)

    def load_in_workers(self, reason: str) -> None:
        """Forking is not possible or not wanted: each worker is a program that loads its models."""
        log.warning("models_not_shared", reason=reason, meaning="each worker loads the models for itself")
        self._own_load = self.workers.own_load = reason
        self._verifiers.kill()
        self._servers.stop("its fork server was replaced")
        self._memory.give_back(self._versions.keys)
        self._epoch += 1

    # -- starts --------------------------------------------------------------------------------------------

    def _launch_worker(self, worker: Worker, end: socket.socket) -> None:
        self._context.register(worker.channel, lambda: self._read_worker(worker))
        if self._own_load:
            try:
                pid = spawned(["process", str(end.fileno())], end.fileno(), {}, self._python)
            except OSError as error:
                self.not_forked(worker, f"cannot be started: {error.strerror}")
            else:
                self.workers.started(worker, pid)
        elif self._server is not None:
            self._server.start_worker(worker, end)

    def _launch_verifier(self, verifier: Verifier, end: socket.socket) -> None:
        self._context.register(verifier.channel, lambda: self._read_verifier(verifier))
        assert self._server is not None
        self._server.verify(verifier, end)

    def _read_worker(self, worker: Worker) -> None:
        try:
            received = worker.channel.receive()
        except ChannelClosedError:
            self._context.unregister(worker.channel)
            return
        for body, descriptors in received:
            request = self.workers.decoded(body)
            match self.workers.requested(worker, request, self._clock()):
                case SandboxWanted(ticket, key) if self._server is not None:
                    self._server.start_sandbox(SandboxOrder(worker, ticket), key, descriptors)
                case SandboxWanted(ticket):
                    self.workers.send(worker, SandboxStarted(ticket, "there is no fork server"))
                case Deployed(versions):
                    self._context.on_deployed(versions)
                case DemandedVersions(used, asked):
                    self._memory.demanded(used, asked, self._clock())
                case EnvironmentsWanted(names):
                    self._announce_environments(names)
            for descriptor in descriptors:
                os.close(descriptor)

    def _read_verifier(self, verifier: Verifier) -> None:
        try:
            self._verifiers.read(verifier)
        except ChannelClosedError:
            self._context.unregister(verifier.channel)

    # -- ends ----------------------------------------------------------------------------------------------

    def reaped(self, pid: int, status: int) -> bool:
        """A process of the supervisor has ended. → whether it was of this group."""
        if self._servers.reaped(pid, status):
            return True
        processes: list[Worker | Verifier] = [*self.workers.all, *self._verifiers.all]
        for ended in processes:
            if ended.pid == pid:
                self._context.unregister(ended.channel)
        if (verified := self._verifiers.ended(pid, status)) is not None:
            self._verified(*verified)
            return True
        return self.workers.ended(pid, status, self._clock())

    # -- orders --------------------------------------------------------------------------------------------

    def read_again(self) -> None:
        """Read the repository again: verify new versions, and release removed versions."""
        if self._own_load or self.workers.own_load:
            self._epoch += 1
        if self._server is not None:
            self._server.list_versions(self.workers.deployed)

    def deploy(self, versions: dict[str, list[str]]) -> bool:
        """Follow the deployments. → whether they have changed."""
        if versions == self.workers.deployed or self.stops:
            return False
        self.workers.deployed = versions
        self.read_again()
        return True

    def stop(self) -> None:
        """Let the workers finish."""
        self.stops = True
        self._memory.give_back(self._versions.keys)
        self._verifiers.kill()
        self.workers.stop(self._clock())
        self._servers.stop("its fork server was stopped")
