"""The gateway's composition root: creates, starts and closes its parts.

Routes get the `Gateway` from the application's state, by the dependency `GatewayState`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, TypeAlias, cast

import structlog
from fastapi import Depends, Request
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from api.access.authenticator import Authenticator, KeyAuthenticator, OpenAuthenticator
from api.access.limits import Limiter
from api.access.sessions import Sessions, cookie_name
from api.access.sign_in import SignIn
from api.fleet.fleet_watch import FleetWatch
from api.fleet.job_queues import JobQueues
from api.fleet.redis_status import RedisStatus
from api.fleet.waiting_work import FleetState, LaneWatch
from api.fleet.worker_loads import WorkerLoads
from api.fleet.worker_orders import WorkerOrders
from api.http.hosts_and_proxies import HostNames
from api.http.lifecycle import BackgroundTasks, Lifecycle
from api.inference_protocol.infer_inputs import TensorReaders
from api.inference_protocol.infer_plans import InferencePlans
from api.jobs.broken_uploads import BrokenUploads
from api.jobs.doorbell import Doorbell
from api.jobs.job_service import JobService
from api.jobs.rollout_gates import RolloutGates
from api.jobs.upload_threads import UploadThreads
from api.models.catalog import Catalog
from api.models.deployment_store import LOOK_EVERY_S, Deployments
from api.online.admission_controller import AdmissionController
from api.online.dispatcher import OnlineDispatcher
from api.online.history_writer import HistoryWriter
from api.online.rollout_driver import RolloutDriver
from api.online.shadow_sampler import ShadowSampler
from api.processes.siblings import Siblings
from api.publishing.incoming import UPLOADS
from api.publishing.publisher import Publisher
from api.publishing.registry_pulls import RegistryPulls
from api.publishing.verifications import Verifications
from api.status.condition_recorder import ConditionRecorder
from api.status.fact_gathering import EngineProgress, Gatherer
from api.status.notifications import ConditionNotifier
from api.status.status_watch import StatusWatch
from api.telemetry.gateway_counters import HttpCounters, JobCounters, Telemetry
from api.telemetry.request_tracing import open_traces
from shared.connections import connect_async
from shared.durability import SYNC_OPTIONS, VOUCHED, SyncPolicy, check_durable
from shared.errors import ModelStoreError
from shared.keys import ModelKey
from shared.ledger import AsyncLedger
from shared.model_cache import open_model_cache
from shared.model_store import open_model_store
from shared.payloads import open_payloads
from shared.repository import open_repository
from shared.settings import Settings
from shared.temporary_folders import remove_leftovers


@dataclass(frozen=True)
class OnlineLane:
    """Ask `admission` first, then send the request with `dispatcher`."""

    dispatcher: OnlineDispatcher
    admission: AdmissionController


@dataclass(frozen=True)
class Access:
    """Authentication and quotas."""

    authenticator: Authenticator
    limiter: Limiter
    sessions: Sessions
    sign_in: SignIn
    cookie: str
    """Name of the cookie of sessions."""


log = structlog.get_logger()

_REACH_LIMIT_S = 2.0
_STORE_RETRY_S = 5.0


class Gateway:
    """The parts of a gateway process.

    It starts without Redis, and is live. It is ready if Redis answers and a worker holds the default model.
    """

    def __init__(
        self, settings: Settings, client: Redis | None = None, siblings: Siblings | None = None
    ) -> None:
        self.settings = settings
        self.siblings = siblings
        """The other processes of its port; None: it is the only one."""
        self.lifecycle = Lifecycle()
        self.client = client if client is not None else connect_async(settings.redis_dsn())
        self.queue = RedisStatus()
        self.catalog = _catalog(settings)
        self.deployments = Deployments(self.client)
        dispatcher = OnlineDispatcher(
            self.client, settings.gateway_name, self.queue, identity_of=self.catalog.wire_identity
        )
        self.fleet = FleetState(
            FleetWatch(self.client, dispatcher.inflight.entries_of, identities=self.catalog.identities),
            WorkerLoads(),
            LaneWatch(self.client, self._entry_rows),
            WorkerOrders(self.client),
        )
        cookie = cookie_name(settings.public_url)
        self.access = Access(
            KeyAuthenticator(self.client, cookie=cookie) if settings.asks_for_keys() else OpenAuthenticator(),
            Limiter(self.client),
            Sessions(self.client, settings.session_s),
            SignIn(self.client, settings),
            cookie.decode(),
        )
        self.online = OnlineLane(
            dispatcher,
            AdmissionController(
                settings,
                authenticator=self.access.authenticator,
                catalog=self.catalog,
                queue=self.queue,
                watch=self.fleet.watch,
                inflight=dispatcher.inflight,
            ),
        )
        self.shadow_sampler = ShadowSampler(self.client, dispatcher.inflight)
        self.tensor_readers = TensorReaders()
        self.inference_plans = InferencePlans(self.tensor_readers)
        self.telemetry = Telemetry(HttpCounters(), open_traces(settings, dispatcher.gateway))
        self.host_names: HostNames | None = None
        """The names that requests must use, set by the program; None: any."""
        self.fast_path = self.telemetry.traces is None and not settings.access_log
        """Whether `api/server/fast_path.py` may serve predictions: without traces and access logs only."""
        self._history = HistoryWriter(self.client, self.catalog)
        self.publisher = Publisher(
            self.client,
            open_model_store(settings),
            self.catalog,
            self.deployments,
            Verifications(
                self.client, settings.verify_limit_s, any_worker=lambda: bool(self.fleet.now.workers)
            ),
        )
        self.registry_pulls = RegistryPulls(self.client, self.publisher)
        self._doorbell = Doorbell(settings)
        self.jobs = self._job_service()
        self.status = self._status_watch()
        self._recorder = ConditionRecorder(self.status, self.client, ConditionNotifier(settings))
        gates = RolloutGates(self.client, self.jobs, dispatcher.gateway)
        self.rollouts = RolloutDriver(
            self.client, self.catalog, self.deployments, self.fleet.watch, gates.look
        )
        self._tasks = BackgroundTasks()
        self._seen_at_s = -1.0
        self._seen_changes = 0
        self._reload: asyncio.Task[None] | None = None

    def _job_service(self) -> JobService:
        settings = self.settings
        ledger = AsyncLedger(
            self.client, self._doorbell, lease_s=settings.lease_s, durability=settings.durable()
        )
        payloads = open_payloads(settings)
        return JobService(
            settings=settings,
            lifecycle=self.lifecycle,
            catalog=self.catalog,
            queue=self.queue,
            fleet=self.fleet,
            limiter=self.access.limiter,
            ledger=ledger,
            payloads=payloads,
            uploads=UploadThreads(settings.max_uploads),
            broken_uploads=BrokenUploads(ledger, payloads, lease_s=settings.lease_s),
            queue_orders=JobQueues(ledger),
            accepted=JobCounters(),
        )

    def _status_watch(self) -> StatusWatch:
        slot = "" if self.siblings is None else f"#{self.siblings.label}"
        gatherer = Gatherer(
            name=f"{self.settings.gateway_name}{slot}",
            client=self.client,
            queue=self.queue,
            lifecycle=self.lifecycle,
            fleet=self.fleet,
            catalog=self.catalog,
            deployments=self.deployments,
            payloads=self.jobs.payloads,
            progress=EngineProgress(),
        )
        return StatusWatch(gatherer, self.client)

    async def start(self) -> None:
        """Start the background tasks. If Redis answers, wait until requests can be served: workers, keys and
        deployments are known, and replies are read.

        Raises UnsupportedServer if Redis answers but is too old or cannot provide TAKT_DURABILITY.
        """
        answers = False
        await asyncio.to_thread(remove_leftovers, UPLOADS, self.settings.spool_dir)
        try:
            info = await self.client.info("server", "persistence")
            server = check_durable(info, self.settings.durability, await self._sync_policy())
            await self.fleet.watch.renew()
            await self.access.authenticator.look()
            await self.deployments.look()
            await self._deploy()
            if self._reload is not None:
                await asyncio.wait({self._reload}, timeout=_REACH_LIMIT_S)
                await self._deploy()
            answers = True
            log.info("gateway_started", gateway=self.online.dispatcher.gateway, server=str(server))
        except (RedisError, OSError) as error:
            log.warning("gateway_started_without_queue", error=type(error).__name__)
        self._doorbell.start()
        self.online.dispatcher.start()
        self._tasks.start("fleet_watch", self._watch)
        self._tasks.start("deployments", self._route)
        self._tasks.start("rollouts", self.rollouts.run_later)
        self._tasks.start("registry_pulls", self.registry_pulls.look_later)
        self._tasks.start("shadow_sampler", self.shadow_sampler.write)
        self._tasks.start("access_watch", self.access.authenticator.look_later)
        self._tasks.start("history", self._write_history)
        self._tasks.start("conditions", self._recorder.run_later)
        self._tasks.start("broken_uploads", self.jobs.broken_uploads.try_again)
        if answers:  # else the first requests would get 503
            with suppress(TimeoutError):
                await asyncio.wait_for(self.queue.reached.wait(), _REACH_LIMIT_S)

    async def _sync_policy(self) -> SyncPolicy | None:
        """The sync policy of the server's append-only file; None if the server does not reveal it.

        The server is asked only if TAKT_DURABILITY depends on the policy.
        """
        if not self.settings.durable().asks:
            return VOUCHED
        try:
            return cast(SyncPolicy, await self.client.config_get(*SYNC_OPTIONS))
        except ResponseError:
            return None

    async def close(self) -> None:
        await self._tasks.stop()
        await self.status.withdraw()
        if self._reload is not None:
            self._reload.cancel()
        await self.publisher.close()
        self.jobs.uploads.close()
        await self.online.dispatcher.close()
        await asyncio.to_thread(self._doorbell.stop)
        await self.client.aclose()
        if self.telemetry.traces is not None:
            await asyncio.to_thread(self.telemetry.traces.close)
        log.info("gateway_stopped", gateway=self.online.dispatcher.gateway)

    def give_up(self) -> None:
        """Answer waiting requests with a retryable error and abort uploads.

        Called near the end of shutdown.
        """
        self.online.dispatcher.give_up()
        self.jobs.uploads.break_off()

    def holds_default(self) -> bool:
        """Whether a worker holds the default version of the default model, is expected back with it, or loads
        it on demand."""
        default = self.catalog.default
        return default is not None and self.fleet.now.serves(default.key)

    def is_unloaded(self, model: str) -> bool:
        """Whether the deployment of a model wants no worker to hold it."""
        found = self.deployments.known.get(model)
        return found is not None and found.target.unloaded

    def serves(self, key: ModelKey) -> bool:
        """Whether Redis answers and a worker holds a model version, is expected back with it, or loads it on
        demand."""
        return self.queue.open and self.fleet.now.serves(key)

    def ready(self) -> bool:
        """Whether this gateway can answer requests for the default model now; of any worker's models, if
        the default model is unloaded."""
        if not self.queue.open or self.lifecycle.draining:
            return False
        return self.holds_default() or (
            self.is_unloaded(self.catalog.default_model)
            and any(worker.is_ready for worker in self.fleet.now.workers)
        )

    def _entry_rows(self) -> dict[ModelKey, float]:
        """Estimated rows per request of each model version that is declared or held by a worker."""
        return dict.fromkeys(self.catalog.keys, 1.0) | dict(self.fleet.now.entry_rows)

    async def _write_history(self) -> None:
        with suppress(RedisError, OSError):  # the next call writes the counts that this call did not
            await self._history.write_later()

    async def _watch(self) -> None:
        await self.fleet.watch.look_later()
        fleet = self.fleet.now
        if fleet.read_at_s is not None and fleet.read_at_s != self._seen_at_s:
            self._seen_at_s = fleet.read_at_s
            self.catalog.look_again()
        if fleet.read_at_s is not None:
            self.fleet.loads.see(fleet.workers, fleet.read_at_s)
        for name in self.fleet.now.model_names:
            self.catalog.learn(name, self.fleet.now.versions(name))

    async def _route(self) -> None:
        """Follow the deployments and the workers that hold their versions."""
        with suppress(RedisError, OSError):  # the reply reader reports it
            await self.deployments.look()
        await self._deploy()
        await asyncio.sleep(LOOK_EVERY_S)

    async def _deploy(self) -> None:
        known, fleet = self.deployments.known, self.fleet.now
        is_changed = self.deployments.changes != self._seen_changes
        if is_changed or self.catalog.lacks(known, fleet):
            self._seen_changes = self.deployments.changes
            self._reload_soon()
        self.route_by_deployments()
        with suppress(RedisError, OSError):  # the reply reader reports it
            await self.deployments.release(self.catalog.forget(known, fleet))

    def route_by_deployments(self) -> None:
        """Route by the newest deployments and their shadows, as far as workers hold the versions."""
        known, fleet = self.deployments.known, self.fleet.now
        self.catalog.deploy(known, fleet)
        self.shadow_sampler.follow(known.values(), self.catalog, fleet)

    def _reload_soon(self) -> None:
        """Read the repository again beside the routing, which does not wait for the model store."""
        if self._reload is None or self._reload.done():
            self._reload = asyncio.create_task(self._reload_catalog(), name="reload")
        else:
            self._seen_changes = -1  # once more, after this one

    async def _reload_catalog(self) -> None:
        if not await asyncio.to_thread(self.catalog.reload):
            await asyncio.sleep(_STORE_RETRY_S)
            self._seen_changes = -1


def _catalog(settings: Settings) -> Catalog:
    """The catalog as of the model store; if an object store is away, as of this machine's copies."""
    cache = open_model_cache(settings)
    refresh = cache.refresh if cache else lambda: None
    try:
        refresh()
    except ModelStoreError as error:
        log.warning("model_store_away", reason=error.detail)
    repository = open_repository(settings.models_folder())
    return Catalog(repository, settings.default_model, settings.model_names(), refresh)


async def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayState: TypeAlias = Annotated[Gateway, Depends(_gateway)]
