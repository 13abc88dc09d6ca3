"""The fork server: imports frameworks, opens verified versions, and forks workers, verifiers and sandboxes.

It predicts nothing, has one thread, no connection to Redis and no CUDA context, because neither threads nor
these survive a fork. It obeys its supervisor and ends with it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import structlog

from shared.errors import ServiceError
from shared.frameworks import declared
from shared.keys import ModelKey
from shared.logs import configure_logging
from shared.repository import ModelVersion, Repository, open_repository
from shared.settings import Settings, settings
from shared.worker_records import HeldModel, ModelState
from worker.control.channel import Channel, ChannelClosedError
from worker.control.control_messages import (
    Forked,
    ForkOrder,
    Listed,
    ListVersions,
    NotForked,
    NotOpened,
    NotVerified,
    Open,
    Opened,
    StartSandbox,
    StartServer,
    StartWorker,
    Verify,
    VersionVerified,
    WantedVersion,
)
from worker.control.operating_system import (
    NICE,
    OomOrder,
    at_low_priority,
    end_earlier_if_memory_runs_out,
    end_with_parent,
    is_linux,
    name_process,
    thread_names,
)
from worker.supervision.forking import SANDBOX, SIGNALS, SPARE, VERIFIER, WORKER, ForkKind, forked

log = structlog.get_logger(__name__)

_NAME = "takt-forkserver"


def serve(descriptor: int) -> int:
    """Obey the supervisor at the other end of the descriptor until it closes. → the exit status."""
    supervisor = os.getppid()
    end_with_parent(supervisor)
    name_process(_NAME)
    end_earlier_if_memory_runs_out(OomOrder.FORK_SERVER)
    _leave_signals_and_garbage()
    configure_logging(settings())
    ForkServer(Channel.of_descriptor(descriptor), settings(), supervisor).run()
    return 0


def _leave_signals_and_garbage() -> None:
    """A signal to the whole process group is for the supervisor; garbage is collected in the forks."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    gc.disable()


class ForkServer:
    """Obeys orders in sequence."""

    def __init__(self, channel: Channel, settings: Settings, supervisor: int) -> None:
        from worker.predictors import Predictor

        self._channel = channel
        self._settings = settings
        self._supervisor = supervisor
        self._decoder = msgspec.msgpack.Decoder(ForkOrder)
        self._repository: Repository | None = None
        self._predictors: dict[ModelKey, Predictor] = {}
        self._is_complete = False
        """Whether the modules of a worker are imported, and garbage is collected."""

    def run(self) -> None:
        with contextlib.suppress(ChannelClosedError):
            while True:
                if not self._is_complete and not select.select([self._channel], [], [], 0)[0]:
                    self._complete()
                channel = self._channel
                for body, descriptors in channel.receive():
                    self._obey(self._decoder.decode(body), descriptors)
                    if self._channel is not channel:
                        break  # in the spare: further orders are for its parent

    def _obey(self, order: ForkOrder, descriptors: Sequence[int]) -> None:
        match order:
            case ListVersions(deployed):
                name_process(_NAME)  # a spare becomes the fork server with this order
                self._channel.send(self._listed(deployed))
            case Verify(ticket):
                self._import_framework(ModelKey(order.key))
                self._fork(VERIFIER, ticket, descriptors, lambda: self._run_verifier(order, *descriptors))
            case Open():
                self._channel.send(self._opened(order))
            case StartWorker(ticket):
                self._complete()
                self._fork(WORKER, ticket, descriptors, lambda: self._run_worker(*descriptors))
            case StartSandbox(ticket, key):
                self._fork(SANDBOX, ticket, descriptors, lambda: self._run_sandbox(key, *descriptors))
            case StartServer(ticket):
                self._complete()
                self._fork(SPARE, ticket, descriptors, None)

    def _complete(self) -> None:
        """Do once what every fork would do for itself otherwise. Importing makes no connection."""
        from worker.broker import celery_app

        celery_app.import_whole()
        if not self._is_complete:
            gc.collect()
        self._is_complete = True

    def _listed(self, deployed: Mapping[str, list[str]]) -> Listed:
        from worker.model_registry import wanted_environments, wanted_versions

        try:
            self._repository = open_repository(self._settings.models_folder())
        except ServiceError as error:
            return Listed([], problem=error.detail)
        keys = wanted_versions(self._repository, self._settings, deployed)
        environments = wanted_environments(self._repository, self._settings, deployed)
        found = Listed([self._wanted(key) for key in keys], environments=environments)
        if self._settings.device != "cpu" or self._settings.models_on_demand:
            for key in keys:  # for workers that load for themselves, and for first requests
                self._import_framework(key)
        return found

    def _wanted(self, key: ModelKey) -> WantedVersion:
        try:
            identity = self._version(key).identity
        except (ServiceError, OSError) as error:
            from worker.model_registry import reason_of

            return WantedVersion(key, problem=reason_of(error))
        return WantedVersion(key, fingerprint=f"{identity.artifact_sha256} {identity.spec_sha256}")

    def _import_framework(self, key: ModelKey) -> None:
        """Once for all forks."""
        from worker.predictors.implementation import import_whole

        with contextlib.suppress(ServiceError, ImportError):  # the fork reports it
            framework = declared(self._version(key).spec.framework)
            if framework.forkable:
                import_whole(framework)

    def _version(self, key: ModelKey) -> ModelVersion:
        from worker.model_registry import wanted_version

        assert self._repository is not None
        return wanted_version(self._repository, key)

    # -- opening -------------------------------------------------------------------------------------------

    def _opened(self, order: Open) -> Opened | NotOpened:
        from worker.model_registry import held_model, reason_of
        from worker.predictors.verification import open_verified

        report = order.report
        try:
            version = self._version(ModelKey(order.key))
            if not declared(version.spec.framework).forkable:
                reason = f"framework {version.spec.framework!r} is not forkable"
                return NotOpened(order.key, reason, apart=True)
            opening = partial(
                open_verified,
                version,
                report,
                threads=self._settings.threads,
                mismatch=self._settings.framework_mismatch,
            )
            predictor = at_low_priority(opening) if order.yields and is_linux() else opening()
        except (Exception, SystemExit) as error:  # code of a model may raise anything
            return NotOpened(order.key, reason_of(error))
        if beside := thread_names()[1:]:
            return NotOpened(order.key, f"opening it starts threads: {', '.join(beside)}", spoiled=True)
        self._predictors[predictor.key] = predictor
        self._is_complete = False
        return Opened(
            order.key,
            held_model(predictor, memory_bytes=report.memory_bytes, peak_bytes=report.peak_bytes),
        )

    # -- forks ---------------------------------------------------------------------------------------------

    def _fork(
        self, kind: ForkKind, ticket: int, descriptors: Sequence[int], run: Callable[[], None] | None
    ) -> None:
        """`run`: the work of the fork; None: it becomes a further fork server, and returns from here."""
        is_fork = False
        try:
            if beside := thread_names()[1:]:
                self._channel.send(
                    NotForked(ticket, f"the fork server has threads: {', '.join(beside)}", unsafe=True)
                )
                return
            pid = forked(kind, self._supervisor, descriptors, run)
        except OSError as error:
            self._channel.send(NotForked(ticket, f"fork: {error.strerror or error}"))
        else:
            is_fork = pid == 0
            if is_fork:
                self._become_spare(*descriptors)
            else:
                self._channel.send(Forked(ticket, pid))
        finally:
            for descriptor in () if is_fork else descriptors:
                os.close(descriptor)

    def _run_verifier(self, order: Verify, answers: int) -> None:
        from shared.model_cache import with_files  # its library starts threads
        from worker.memory import limit_memory
        from worker.model_registry import reason_of
        from worker.predictors.verification import verify_version

        if order.yields:
            os.nice(NICE)
        channel, settings = Channel.of_descriptor(answers), self._settings
        limit_memory(settings, free=True)
        try:
            report = verify_version(
                with_files(self._version(ModelKey(order.key)), settings),
                device=settings.device,
                threads=settings.threads,
                mismatch=settings.framework_mismatch,
                runtime=settings.runtime,
            )
        except (Exception, SystemExit) as error:  # code of a model may raise anything
            channel.send(NotVerified(reason_of(error)))
        else:
            channel.send(VersionVerified(report))

    def _run_worker(self, supervisor: int) -> None:
        from worker.broker import celery_app
        from worker.control.supervisor_link import SupervisorLink
        from worker.process_parts import Handover

        link = SupervisorLink(Channel.of_descriptor(supervisor))
        wanted = link.start_order.states
        held = {key: one for key, one in self._predictors.items() if _is_loaded(wanted.get(key))}
        celery_app.run(Handover(link.start_order, link, held))

    def _become_spare(self, supervisor: int) -> None:
        """In a fork: serve the supervisor as a further fork server."""
        _leave_signals_and_garbage()
        self._channel.forget()
        self._channel = Channel.of_descriptor(supervisor)

    def _run_sandbox(self, key: str, tasks: int, answers: int) -> None:
        from worker.sandbox import sandbox_process

        os.dup2(2, 1)  # output of a model must not mix with frames
        predictor = self._predictors.get(ModelKey(key))
        sandbox_process.serve(tasks, answers, self._version(ModelKey(key)), self._settings, predictor)


def _is_loaded(held: HeldModel | None) -> bool:
    return held is not None and held.state is ModelState.LOADED
