"""The Celery application of a worker: its task, and the boot step that starts the engine.

`run` starts the equivalent of `celery -A worker.broker.celery_app worker -P threads -c 2`. A fork server
imports this module, which makes no connection before `run`.
"""

from __future__ import annotations

import signal
from importlib import import_module
from typing import Any

import structlog
from celery import Celery, bootsteps, signals
from celery.app.amqp import AMQP
from celery.utils.nodenames import host_format
from celery.worker import state as celery_state
from celery.worker.consumer import Consumer
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from shared import keys
from shared.doorbells import TASK, celery_settings
from shared.keys import ModelKey, offline_queue
from shared.library_hooks import require_hooks
from shared.logs import configure_logging
from shared.settings import settings
from worker.broker.own_doorbells import OwnDoorbells
from worker.broker.transport import BrokerConnection
from worker.process import WorkerProcess
from worker.process_parts import CHUNK_THREADS, Handover

log = structlog.get_logger(__name__)

require_hooks("celery", AMQP, ("Connection", "queues"))
require_hooks("celery", celery_state, ("should_stop", "should_terminate"))
require_hooks("celery", Consumer, ("add_task_queue", "cancel_task_queue"))

app = Celery("takt")
app.conf.update(celery_settings(settings()))
app.amqp.Connection = BrokerConnection


def notify(key: ModelKey, count: int) -> None:
    """Put doorbells into a model version's queue. A failure is logged: the reconciler sends another."""
    try:
        for _ in range(count):
            app.send_task(TASK, args=[key], queue=offline_queue(key))
    except (OperationalError, RedisError) as error:  # a full server's error is raised as redis-py's
        log.warning("doorbell_failed", model=key, reason=str(error))


doorbells = OwnDoorbells(notify)


_IMPORTED_BY_START = (
    *("celery.apps.worker", "celery.app.control", "celery.app.events", "celery.app.log"),
    *("celery.backends.base", "celery.concurrency.thread", "celery.events.state", "celery.loaders.app"),
    *("celery.worker.autoscale", "celery.worker.components", "celery.worker.strategy"),
    *("celery.worker.consumer.delayed_delivery", "kombu.mixins", "kombu.pidbox", "billiard.pool"),
    "encodings.idna",
)


class _Running:
    """The worker of this process, from `run` on."""

    process: WorkerProcess


def run(handover: Handover) -> None:
    """Serve as a worker until SIGTERM."""
    process = _Running.process = WorkerProcess(settings(), doorbells, handover)
    if handover.link:
        handover.link.on_states = process.update
        handover.link.start()
    name = handover.order.id.rpartition(":")[0]
    # not app.worker_main, which imports every command of Celery's command line and of its plug-ins
    celery_worker = app.Worker(
        hostname=host_format(f"{name}@%h"),
        pool_cls="threads",
        concurrency=CHUNK_THREADS,
        queues=keys.idle_queue(),
        loglevel=settings().log_level.upper(),
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=not settings().celery_tools,
    )
    celery_worker.start()
    if celery_worker.exitcode:
        raise SystemExit(celery_worker.exitcode)


def import_whole() -> None:
    """Import what `run` imports, once for all forks."""
    for module in _IMPORTED_BY_START:
        import_module(module)


@app.task(name=TASK)  # type: ignore[untyped-decorator]  # celery publishes no types
def claim(key: str) -> None:
    """The task of a doorbell: claim the next chunks of a model version, run and commit them."""
    try:
        doorbells.answer(ModelKey(key), _Running.process.run_next_chunk)
    except RedisError as error:
        # the reconciler restores this work, and leases expire
        log.warning("doorbell_unanswered", model=key, reason=str(error))


class EngineStep(bootsteps.StartStopStep):  # type: ignore[misc]  # celery publishes no types
    """Starts the engine with the first loaded model before Celery consumes; stops it before the pool.

    Celery starts its consumer last and stops it first.
    """

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:  # Any: Celery's WorkController
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal: the supervisor stops its workers
        _Running.process.start(
            should_stop=_should_stop, on_queues=lambda: worker.hub.call_soon(_select_queues, worker)
        )
        _select_queues(worker)

    def stop(self, _worker: Any) -> None:
        _Running.process.stop()

    terminate = stop


app.steps["worker"].add(EngineStep)


def _select_queues(worker: Any) -> None:
    """Consume exactly the queues of the process from now on, also after a reconnection.

    Only Celery's own thread, which runs its hub, may call this.
    """
    queues = _Running.process.queues
    # an empty selection would mean Celery's default queue: `queues` is never empty
    worker.app.amqp.queues.select(queues)
    consumer = worker.consumer
    if consumer is None or consumer.task_consumer is None:
        return  # not connected; Celery will consume the selected queues
    for queue in queues:
        consumer.add_task_queue(queue)
    for queue in {queue.name for queue in consumer.task_consumer.queues} - set(queues):
        consumer.cancel_task_queue(queue)


@signals.setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]
def _configure_logging(**_: object) -> None:
    """A connected receiver prevents Celery from configuring logging itself."""
    configure_logging(settings())


def _should_stop() -> bool:
    return celery_state.should_stop is not None or celery_state.should_terminate is not None
