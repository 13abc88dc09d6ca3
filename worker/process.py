"""A worker process: connects heartbeat, loader, engine, chunks and reconciler.

A forked worker serves the predictors of its fork server at once. A separate thread loads what the worker has
to load itself; each of these model versions is served as soon as it is loaded. Until it has a model, a worker
that waits for one holds no work.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Mapping
from typing import NoReturn

import structlog

from shared import keys
from shared.connections import connect
from shared.doorbells import Notify
from shared.keys import ModelKey
from shared.ledger import Ledger
from shared.liveness_files import IdFile, current_facts
from shared.metrics.metric import OFFLINE, ONLINE
from shared.payloads import PayloadStore, open_payloads
from shared.repository import open_repository
from shared.settings import Settings
from shared.worker_records import HeldModel, ModelsMemory, WorkerState
from worker.chunks.chunk_runner import ChunkRunner
from worker.chunks.reconciler import Reconciler
from worker.chunks.scrubber import Scrubber
from worker.control.operator_orders import OperatorOrders
from worker.demand_watch import DemandWatch
from worker.deployment_watch import DeploymentWatch
from worker.execution.engine import Engine
from worker.execution.scheduler import LaneScheduler
from worker.heartbeat import Heartbeat
from worker.memory import leave_to_stay, limit_memory
from worker.model_registry import ModelRegistry, reason_of
from worker.models.loading_signals import ended_at_once_by_signals
from worker.predictors import Predictor
from worker.process_parts import (
    EXIT_CRASHED,
    Handover,
    demand_watch_of,
    engine_of,
    exit_before_grace_ends,
    exit_now,
    ledger_of,
    measured,
    own_loads,
    reconciler_of,
    runner_of,
    scrubber_of,
    stop_all,
    take_over_drain,
    waited_for_server,
    warm_up,
)
from worker.shadow.shadow_runner import ShadowRunner
from worker.telemetry.exporter import Exporter
from worker.telemetry.metrics import Facts, readings
from worker.telemetry.worker_counters import ChunkCounters, WorkerHistory
from worker.telemetry.worker_tracing import NO_TRACES, Traces, open_traces
from worker.webhooks.delivery import Webhooks

log = structlog.get_logger(__name__)

DRAIN_ON_CRASH_S = 2.0


class WorkerProcess:
    """Starts the parts in order and stops them in reverse. A single instance per process."""

    def __init__(self, settings: Settings, notify: Notify, handover: Handover) -> None:
        self._settings = settings
        self._notify = notify
        self._handover = handover
        self._order = handover.order
        self._id = handover.order.id
        self._id_file = IdFile(settings, self._id)
        self._registry = ModelRegistry(dict(handover.predictors), dict(handover.order.states))
        self._memory = handover.order.memory
        self._client = connect(settings.redis_dsn())
        self._chunk_counters = ChunkCounters()
        self._heartbeat = Heartbeat(
            self._client,
            self._id,
            settings.device,
            settings.heartbeat_ttl_s,
            models=self._held,
            memory=lambda: self._memory,
            current=lambda: self._engine.current if self._engine else "",
            scheduler=lambda: self._scheduler,
            drained=self._drained,
            on_drain=self._obey,
            on_order=OperatorOrders(self._client, self._id, handover.restart).obey,
            on_turn=self._on_turn,
            metrics_address=lambda: self._exporter.address,
            history=WorkerHistory(self._chunk_counters),
            supervisor=lambda: current_facts(settings.run_dir, self._order.supervisor),
            ended=self._order.dead,
            on_serving=self._handover.announce_serving,
        )
        self._deployments: DeploymentWatch | None = None
        self._demand: DemandWatch | None = None
        self._exporter = Exporter(settings, lambda: readings(self._facts()), number=self._order.number)
        self._on_queues: Callable[[], None] = lambda: None
        self._loader: threading.Thread | None = None
        self._can_serve = threading.Event()
        """Set when a model is loaded, or all have failed."""
        self._orders = threading.Lock()
        self._obeys = False
        """Whether it serves and is not stopping."""
        self._draining = False
        self._traces: Traces = NO_TRACES
        self._engine: Engine | None = None
        self._runner: ChunkRunner | None = None
        self._reconciler: Reconciler | None = None
        self._scrubber: Scrubber | None = None
        self._webhooks: Webhooks | None = None
        self._shadow: ShadowRunner | None = None

    @property
    def queues(self) -> list[str]:
        """The queues for Celery to consume: the doorbells of all loaded models, none while the worker is
        drained."""
        loaded = (
            [] if self._draining else [keys.offline_queue(key) for key in list(self._registry.predictors)]
        )
        return loaded or [keys.idle_queue()]

    def start(self, should_stop: Callable[[], bool], on_queues: Callable[[], None]) -> None:
        """Serve from the first model on. Returns then, or early if `should_stop`. `on_queues` is called, in
        any thread, whenever `queues` has changed.

        Raises UnsupportedServer if the server is too old or cannot keep TAKT_DURABILITY, SpecError if there
        is no repository, PayloadError if the store is unusable.
        """
        self._traces = open_traces(self._settings, self._id)
        self._exporter.start()
        if not waited_for_server(self._client, self._settings, self._id, should_stop):
            return
        limit_memory(self._settings)
        store = open_payloads(self._settings)
        self._id_file.write()
        if reasons := own_loads(self._order):
            self._loader = threading.Thread(target=self._load, args=[reasons], name="loader", daemon=True)
        take_over_drain(self._client, self._order)
        self._heartbeat.start()
        ledger = self._start_reconciler(store)  # loading takes long, and work of dead workers must not wait
        if not self._waited_for_a_model(should_stop):
            return
        if self._order.follows:
            warm_up(self._registry.predictors.values())
        with self._orders:
            self._start_lanes(ledger, store)
            self._on_queues = on_queues
            self._heartbeat.become(WorkerState.SERVING)
            self._obeys = True
        if self._settings.models_on_demand and self._engine and self._handover.link:
            self._demand = demand_watch_of(
                self._client,
                self._engine,
                self._handover.link,
                memory=lambda: None if self._draining else self._memory,
            )
            self._demand.start()
        if self._loader is None:
            gc.freeze()  # the fork server has collected what it handed over
            self._log_serving()

    def _waited_for_a_model(self, should_stop: Callable[[], bool]) -> bool:
        """Wait until a model can be served, or all have failed. → False if the worker is to stop.

        A worker that was forked while the first models are verified waits until its supervisor replaces it.
        """
        if self._registry.predictors or (self._loader is None and not self._registry.loading):
            if self._loader is not None:
                self._loader.start()
            return not should_stop()
        with ended_at_once_by_signals():
            if should_stop():  # received before the handlers changed
                return False
            if self._loader is not None:
                self._loader.start()
            self._can_serve.wait()  # the worker holds no work until then
        return True

    def run_next_chunk(self, key: ModelKey) -> bool:
        """Answer a doorbell: claim and run the next chunks. → whether there were any."""
        return self._runner is not None and self._runner.run_next(key)

    def stop(self) -> None:
        """Answer the requests in hand, hand chunks back, and withdraw; the process exits before the grace
        ends."""
        exit_before_grace_ends(self._settings)
        with self._orders:
            self._obeys = False
        stop_all(self._demand, self._deployments)
        self._heartbeat.become(WorkerState.DRAINING)
        if self._runner:
            self._runner.stop()
        if self._webhooks:
            self._webhooks.stop()
        if self._engine:
            self._engine.stop()
            self._engine.join()
        if self._runner:
            self._runner.drain(self._settings.shutdown_grace_s)
        stop_all(self._reconciler, self._scrubber, self._shadow)
        if self._webhooks:
            self._webhooks.join()
        self._withdraw()
        self._exporter.stop()
        self._traces.close()
        log.info("worker_stopped", worker=self._id)
        if self._is_loading:  # its native code may run for minutes
            exit_now()

    def _start_reconciler(self, store: PayloadStore) -> Ledger:
        ledger = ledger_of(self._settings, self._client, self._notify, self._id)
        dead = self._order.dead
        self._reconciler = reconciler_of(
            self._settings, self._client, ledger, store, notify=self._notify, worker_id=self._id, ended=dead
        )
        self._reconciler.start()
        if self._settings.scrub_bytes_per_s:
            self._scrubber = scrubber_of(self._settings, self._client, ledger, store, self._id)
            self._scrubber.start()
        return ledger

    @property
    def _is_loading(self) -> bool:
        return self._loader is not None and self._loader.is_alive()

    def _load(self, reasons: Mapping[ModelKey, str] | str) -> None:
        """Load models, in the loader's thread. A failed model is reported, and the others are served."""
        try:
            repository = open_repository(self._settings.models_folder())
            self._handover.announce_environments(repository, self._settings)
            if not self._registry.load(
                repository,
                self._settings,
                on_loaded=self._serve,
                reasons=reasons,
                deployed=self._order.deployed,
            ):
                return
            leave_to_stay()
        except BaseException as error:
            log.critical("loading_crashed", worker=self._id, reason=reason_of(error), exc_info=error)
            self._end_after_fault()
        self._can_serve.set()
        self._heartbeat.beat_soon()
        self._log_serving()

    def _log_serving(self) -> None:
        if not self._registry.loading:
            log.info("worker_serving", worker=self._id, models=sorted(self._registry.predictors))

    def update(self, states: Mapping[str, HeldModel], memory: ModelsMemory | None) -> None:
        """The states of versions that this worker does not hold have changed, or the supervisor's memory."""
        self._memory = memory
        was_loading = bool(self._registry.loading)
        self._registry.update(states)
        if was_loading and self._engine:
            self._log_serving()
        self._heartbeat.beat_soon()

    def _serve(self, predictor: Predictor) -> bool:
        """Serve a model version that has just been loaded. → whether to load more."""
        with self._orders:
            if self._engine and not self._obeys:
                return False
            if self._engine:  # otherwise the engine starts with all models loaded by then
                self._engine.add(predictor)
            self._registry.predictors[predictor.key] = predictor  # chunks are claimed from now on
            self._on_queues()
        self._can_serve.set()
        self._heartbeat.beat_soon()
        return True

    def _start_lanes(self, ledger: Ledger, store: PayloadStore) -> None:
        settings, predictors = self._settings, dict(self._registry.predictors)
        self._engine = engine_of(
            settings,
            self._id,
            predictors,
            ended=self._order.dead,
            is_loading=lambda: self._is_loading,
            on_crash=self._crash,
            traces=self._traces,
        )
        self._runner = runner_of(
            settings,
            self._client,
            ledger,
            store,
            engine=self._engine,
            predictors=self._registry.predictors,
            handover=self._handover,
            counters=self._chunk_counters,
            traces=self._traces,
        )
        self._engine.start()
        self._runner.start()
        if settings.device == "cpu":  # a GPU cannot be shared by priority
            self._shadow = ShadowRunner(
                self._client,
                self._registry.predictors,
                self._handover.start_sandbox,
                limit_s=settings.batch_limit_s,
                is_idle=lambda: self._obeys and not self._draining and self._is_idle,
            )
            self._shadow.start()
        if settings.webhook_keys():
            self._webhooks = Webhooks(ledger, settings)
            self._webhooks.start()

    @property
    def _is_idle(self) -> bool:
        """Whether neither lane has work."""
        return bool(self._engine and self._engine.idle and self._runner and self._runner.idle)

    def _held(self) -> dict[str, HeldModel]:
        return measured(self._registry.states, self._engine.served if self._engine else {})

    def _obey(self, drain: bool) -> None:
        """Drain, or serve again. Called with each heartbeat; effective once the worker serves."""
        with self._orders:
            if not self._obeys or drain == self._draining or not self._engine or not self._runner:
                return
            self._draining = drain
            log.info("worker_drains" if drain else "worker_resumes", worker=self._id)
            self._on_queues()
            if drain:
                self._runner.pause()
                self._engine.drain()
            else:
                self._runner.resume()
                self._engine.resume()
            self._heartbeat.become(WorkerState.DRAINING if drain else WorkerState.SERVING)

    def _drained(self) -> bool:
        """Whether an order to drain has been carried out."""
        return bool(self._engine and self._engine.drained and self._runner and self._runner.idle)

    @property
    def _scheduler(self) -> LaneScheduler:
        return self._engine.scheduler if self._engine else LaneScheduler()

    def _facts(self) -> Facts:
        served = self._engine.served if self._engine else {}
        return Facts(
            state=self._heartbeat.state,
            heartbeats=self._heartbeat.beats,
            models=self._held(),
            busy_s={ONLINE: self._scheduler.online_s, OFFLINE: self._scheduler.offline_s},
            engine={key: one.counters for key, one in served.items()},
            chunks=self._chunk_counters,
            held_leases=self._runner.running if self._runner else 0,
            scrubbed=self._scrubber.checked if self._scrubber else {},
            shadows=dict(self._shadow.counters) if self._shadow else {},
        )

    def _crash(self, error: BaseException) -> NoReturn:
        """The engine failed: end the process, which can no longer predict."""
        log.critical("engine_crashed", worker=self._id, reason=reason_of(error), exc_info=error)
        self._end_after_fault()

    def _end_after_fault(self) -> NoReturn:
        """Give back what is in hand, within two seconds, and exit; the supervisor restarts the worker."""
        try:
            if self._runner:
                self._runner.stop()
                self._runner.drain(DRAIN_ON_CRASH_S)
            self._withdraw()
        finally:
            os._exit(EXIT_CRASHED)

    def _on_turn(self) -> None:
        self._id_file.touch()
        if self._deployments is None:
            self._deployments = DeploymentWatch(
                self._client, self._settings, self._id, self._handover.link, lambda: self._registry.states
            )
        self._deployments.look()
        self._exporter.start()

    def _withdraw(self) -> None:
        if self._heartbeat.is_alive():
            self._heartbeat.stop()
        self._id_file.remove()
