"""Makes the parts of a worker process from its settings; `worker/process.py` starts and stops them."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import msgspec
import redis
import structlog
from redis.exceptions import RedisError

from shared import keys
from shared.dead_letters import DeadLetters
from shared.doorbells import Notify
from shared.durability import checked_server
from shared.errors import PredictionFailedError
from shared.keys import ModelKey
from shared.ledger import Ledger
from shared.payloads import PayloadStore
from shared.repository import Repository
from shared.settings import Settings
from shared.worker_records import DRAIN_KEPT_S, HeldModel, ModelsMemory, ModelState
from worker.chunks.chunk_runner import ChunkRunner
from worker.chunks.orphaned_payloads import Orphans
from worker.chunks.reconciler import Reconciler
from worker.chunks.scrubber import Scrubber
from worker.control.control_messages import WorkerStart
from worker.control.supervisor_link import SupervisorLink
from worker.demand_watch import DemandWatch
from worker.execution.engine import Engine, Served
from worker.execution.watchdog import Watchdog
from worker.model_registry import wanted_environments
from worker.online.stream import OnlineStream
from worker.predictors import Predictor
from worker.sandbox.sandbox_runner import SandboxRunner, StartSandbox, started_program
from worker.telemetry.worker_counters import ChunkCounters
from worker.telemetry.worker_tracing import Traces

log = structlog.get_logger(__name__)

EXIT_CRASHED = 70  # EX_SOFTWARE of sysexits.h
WARM_UP_S = 5.0
"""How long a worker that follows another calls its models before it serves."""
CHUNK_THREADS = 2
"""Two threads, so that payloads of a chunk move while another chunk computes."""


@dataclass(frozen=True)
class Handover:
    """What a worker process gets from those that started it."""

    order: WorkerStart
    link: SupervisorLink | None = None
    predictors: Mapping[ModelKey, Predictor] = field(default_factory=dict)

    def restart(self) -> None:
        """Have the supervisor replace this worker."""
        if self.link:
            self.link.restart()

    @property
    def start_sandbox(self) -> StartSandbox:
        """By the fork server, if this worker is a fork."""
        is_forked = self.link is not None and not self.order.own_load
        return self.link.start_sandbox if self.link and is_forked else started_program

    def announce_serving(self) -> None:
        """The supervisor may end the worker that this one follows, and counts the time of service."""
        if self.link:
            self.link.serving()

    def announce_environments(self, repository: Repository, settings: Settings) -> None:
        """A worker that is no fork reads the repository for the supervisor."""
        if self.link and self.order.own_load:
            self.link.environments(wanted_environments(repository, settings, self.order.deployed))


def waited_for_server(
    client: redis.Redis, settings: Settings, worker_id: str, should_stop: Callable[[], bool]
) -> bool:
    """Wait until Redis answers. → False if the worker is to stop. Raises UnsupportedServer."""
    pause, complained = threading.Event(), False
    while not should_stop():
        try:
            server = checked_server(client, settings.durable())
        except RedisError as error:
            if not complained:
                log.warning("queue_unreachable", reason=str(error))
            complained = True
            pause.wait(1.0)
        else:
            log.info("worker_starting", worker=worker_id, device=settings.device, server=str(server))
            return True
    return False


def take_over_drain(client: redis.Redis, order: WorkerStart) -> None:
    """An order to drain applies to the worker that follows, too."""
    for before in [*order.dead, *([order.follows] if order.follows else [])]:
        if client.exists(keys.drain(before)):
            client.set(keys.drain(order.id), 1, ex=DRAIN_KEPT_S)


def own_loads(order: WorkerStart) -> Mapping[ModelKey, str] | str:
    """The versions to load in this process, each with the reason; a single reason is that of all."""
    if order.own_load:
        return order.own_load
    return {
        ModelKey(key): held.own_copy
        for key, held in order.states.items()
        if held.own_copy and held.state is ModelState.LOADING
    }


def warm_up(predictors: Iterable[Predictor]) -> None:
    """Call each model once: a first call takes longer, and the worker before this one still serves."""
    end_s = time.monotonic() + WARM_UP_S
    for predictor in predictors:
        if time.monotonic() < end_s:
            with suppress(PredictionFailedError):  # the row is an example
                predictor.warm_up([1])


def demand_watch_of(
    client: redis.Redis,
    engine: Engine,
    link: SupervisorLink,
    *,
    memory: Callable[[], ModelsMemory | None],
) -> DemandWatch:
    """`memory`: the versions on demand; None while the worker drains."""
    return DemandWatch(
        client,
        memory=memory,
        last_used_s=lambda: {key: one.used_at_s for key, one in engine.served.items()},
        on_demand=link.demand,
    )


def engine_of(
    settings: Settings,
    worker_id: str,
    predictors: Mapping[ModelKey, Predictor],
    *,
    ended: Sequence[str],
    is_loading: Callable[[], bool],
    on_crash: Callable[[BaseException], None],
    traces: Traces,
) -> Engine:
    """The engine with its online lane. `ended`: workers whose entries it takes over."""
    stream = OnlineStream(
        settings.redis_dsn(),
        worker_id,
        {key: predictor.spec.batching.max_rows for key, predictor in predictors.items()},
        settings.batch_limit_s,
        identities={key: one.version.identity for key, one in predictors.items()},
        ended=ended,
    )
    watchdog = Watchdog(settings.batch_limit_s, is_loading=is_loading)
    return Engine(worker_id, predictors, stream, watchdog, on_crash=on_crash, traces=traces)


def runner_of(
    settings: Settings,
    client: redis.Redis,
    ledger: Ledger,
    store: PayloadStore,
    *,
    engine: Engine,
    predictors: dict[ModelKey, Predictor],
    handover: Handover,
    counters: ChunkCounters,
    traces: Traces,
) -> ChunkRunner:
    """`predictors`: those of the worker's registry, which loads more while chunks run."""
    return ChunkRunner(
        ledger,
        store,
        engine,
        predictors,
        DeadLetters(client),
        quarantine=SandboxRunner(settings.batch_limit_s, handover.start_sandbox),
        lease_s=settings.lease_s,
        counters=counters,
        traces=traces,
        device=settings.device,
    )


def exit_now() -> NoReturn:
    """End this process with status 0, whatever its threads do."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def exit_before_grace_ends(settings: Settings) -> None:
    """End this process a second before its grace is over, if it still runs then."""
    timer = threading.Timer(max(0.5, settings.shutdown_grace_s - 1.0), os._exit, args=[EXIT_CRASHED])
    timer.daemon = True
    timer.start()


def ledger_of(settings: Settings, client: redis.Redis, notify: Notify, worker_id: str) -> Ledger:
    return Ledger(
        client,
        notify,
        worker=worker_id,
        lease_s=settings.lease_s,
        max_attempts=settings.max_attempts,
    )


def reconciler_of(
    settings: Settings,
    client: redis.Redis,
    ledger: Ledger,
    store: PayloadStore,
    *,
    notify: Notify,
    worker_id: str,
    ended: Sequence[str],
) -> Reconciler:
    """`ended`: workers whose chunks it hands back at once."""
    orphans = Orphans(ledger, store, retention_s=settings.job_retention_s)
    return Reconciler(
        client, ledger, store, notify, worker_id, slots=CHUNK_THREADS, orphans=orphans, ended=ended
    )


def scrubber_of(
    settings: Settings, client: redis.Redis, ledger: Ledger, store: PayloadStore, worker_id: str
) -> Scrubber:
    return Scrubber(
        client,
        ledger,
        store,
        worker_id,
        bytes_per_s=settings.scrub_bytes_per_s,
        every_s=settings.scrub_every_s,
    )


class Stoppable(Protocol):
    """A part that runs in a thread of its own."""

    def stop(self) -> None: ...


def stop_all(*parts: Stoppable | None) -> None:
    """Stop the parts that this worker has."""
    for part in filter(None, parts):
        part.stop()


def measured(
    states: Mapping[str, HeldModel], served_models: Mapping[ModelKey, Served]
) -> dict[str, HeldModel]:
    """The records of all model versions, with what the engine has measured of those that it serves."""
    found = dict(states)
    for key, served in served_models.items():
        found[key] = msgspec.structs.replace(
            found[key],
            rows_per_s=round(served.online.rows_per_s, 1),
            slice_rows_per_s=round(served.offline.rows_per_s, 1),
            batches=served.batches,
            batch_rows=served.batch_rows,
            ceiling_rows=served.call_limit.rows,
            entry_rows=round(served.entry_rows, 1),
            least_call_s=round(served.fastest.call_s, 6),
            most_rows_per_s=round(served.fastest.rows_per_s, 1),
        )
    return found
