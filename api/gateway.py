"""The gateway's parts, opened and closed together. Requests reach them through the application's state."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from api.access.authenticator import Authenticator, KeyAuthenticator, OpenAuthenticator
from api.access.limits import Limiter
from api.access.principal import Principal
from api.fleet.lanes import LaneWatch
from api.fleet.lines import QueueOrders
from api.fleet.loads import Loads
from api.fleet.queue_status import QueueStatus
from api.fleet.snapshot import FleetWatch
from api.http.background import BackgroundTasks
from api.jobs.broken_uploads import BrokenUploads
from api.jobs.doorbell import Doorbell
from api.jobs.upload_threads import UploadThreads
from api.models.catalog import Catalog, Servable
from api.online.admission_control import AdmissionController
from api.online.dispatcher import OnlineDispatcher
from api.online.history import HistoryWriter
from api.telemetry.counters import HttpCounters, JobCounters
from api.telemetry.tracing import open_traces
from shared.connections import connect_async
from shared.durability import SYNC_OPTIONS, VOUCHED, SyncPolicy, check_durable
from shared.keys import ModelKey
from shared.ledger import AsyncLedger
from shared.payloads import open_payloads
from shared.repository import open_repository
from shared.settings import Settings
from shared.tabular.chunking import chunk_rows

log = structlog.get_logger()


class Gateway:
    """One gateway. It starts, and is alive, without Redis; it is ready once Redis and a worker answer."""

    def __init__(self, settings: Settings, client: Redis | None = None) -> None:
        self.settings = settings
        self.started_s = time.monotonic()
        self.draining = False
        """It was told to stop: it is not ready, and asks its clients to connect elsewhere."""
        self.leaving = False
        """It takes no new connections: what would go on without end ends now."""
        self.client = client if client is not None else connect_async(settings.redis_dsn())
        self.link = QueueStatus()
        self.catalog = Catalog(
            open_repository(settings.models_dir), settings.default_model, settings.model_names()
        )
        self.lane = OnlineDispatcher(
            self.client, settings.gateway_name, self.link, identity_of=self.catalog.wire_identity
        )
        self.watch = FleetWatch(self.client, self.lane.pending.entries_of, identities=self.catalog.identities)
        self.gate: Authenticator = (
            KeyAuthenticator(self.client) if settings.asks_for_keys() else OpenAuthenticator()
        )
        self.limiter = Limiter(self.client)
        self.door = AdmissionController(
            settings,
            gate=self.gate,
            catalog=self.catalog,
            link=self.link,
            watch=self.watch,
            pending=self.lane.pending,
        )
        self.loads = Loads()
        self._seen_at_s = -1.0
        self.lanes = LaneWatch(self.client, self._entry_rows)
        self.http = HttpCounters()
        self.accepted = JobCounters()
        self.traces = open_traces(settings, self.lane.gateway)
        self.short_way = self.traces is None and not settings.access_log
        """Whether predictions may be answered without a task, see `api/server/fast_path.py`: what is traced
        or
        logged needs a context of its own."""
        self._history = HistoryWriter(self.client, self.catalog)
        self.payloads = open_payloads(settings)
        self.uploads = UploadThreads(settings.max_uploads)
        self._doorbell = Doorbell(settings)
        self.ledger = AsyncLedger(
            self.client, self._doorbell, lease_s=settings.lease_s, durability=settings.durable()
        )
        self.lines = QueueOrders(self.ledger)
        self.broken_uploads = BrokenUploads(self.ledger, self.payloads, lease_s=settings.lease_s)
        self._loops = BackgroundTasks()

    async def start(self) -> None:
        """Raises UnsupportedServer where Redis answers and is too old, or cannot keep TAKT_DURABILITY."""
        try:
            info = await self.client.info("server", "persistence")
            server = check_durable(info, self.settings.durability, await self._sync_policy())
            await self.watch.renew()
            log.info("gateway_started", gateway=self.lane.gateway, server=str(server))
        except (RedisError, OSError) as error:
            log.warning("gateway_started_without_queue", error=type(error).__name__)
        self._doorbell.start()
        self.lane.start()
        self._loops.start("fleet_watch", self._watch)
        self._loops.start("access_watch", self.gate.look_later)
        self._loops.start("history", self._write_history)
        self._loops.start("broken_uploads", self.broken_uploads.try_again)

    async def _sync_policy(self) -> SyncPolicy | None:
        """When the server syncs its append-only file, where that matters; None: it refuses to say."""
        if not self.settings.durable().asks:
            return VOUCHED
        try:
            return cast(SyncPolicy, await self.client.config_get(*SYNC_OPTIONS))
        except ResponseError:
            return None

    async def close(self) -> None:
        await self._loops.stop()
        self.uploads.close()
        await self.lane.close()
        await asyncio.to_thread(self._doorbell.stop)
        await self.client.aclose()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)
        log.info("gateway_stopped", gateway=self.lane.gateway)

    def drain(self) -> None:
        self.draining = True

    def leave(self) -> None:
        self.draining = self.leaving = True

    def give_up(self) -> None:
        """The grace is nearly over: who still waits is told to ask again, uploads are broken off."""
        self.lane.give_up()
        self.uploads.break_off()

    def chunk_rows(self, servable: Servable, asker: Principal) -> int:
        """How many rows a chunk of a job takes at most, by what the workers have measured, and by how many of
        its owner may run at once; not less than one call of the model takes."""
        fleet = self.watch.fleet
        rows_per_s = fleet.slice_rates.get(servable.key, 0.0) / max(1, fleet.holders(servable.key))
        least, limit = servable.spec.batching.max_rows, asker.share.max_running_rows
        rows = chunk_rows(rows_per_s, least=least, most=self.settings.chunk_rows)
        return rows if limit is None else min(rows, max(least, limit))

    def holds_default(self) -> bool:
        """Whether a live worker holds the default version of the default model."""
        default = self.catalog.default
        return default is not None and self.watch.fleet.matching_holders(default.key) > 0

    def ready(self) -> bool:
        """Whether requests for the default model can be answered now."""
        return self.link.open and self.holds_default() and not self.draining

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self.started_s

    def _entry_rows(self) -> dict[ModelKey, float]:
        """About how many rows a request has, of each model version that is declared or held somewhere."""
        return dict.fromkeys(self.catalog.keys, 1.0) | dict(self.watch.fleet.entry_rows)

    async def _write_history(self) -> None:
        with suppress(RedisError, OSError):  # what is not told now is told later
            await self._history.write_later()

    async def _watch(self) -> None:
        await self.watch.look_later()
        fleet = self.watch.fleet
        if fleet.read_at_s is not None and fleet.read_at_s != self._seen_at_s:
            self._seen_at_s = fleet.read_at_s
            self.catalog.look_again()
        if fleet.read_at_s is not None:
            self.loads.see(fleet.workers, fleet.read_at_s)
        for name in self.watch.fleet.model_names:
            self.catalog.learn(name, self.watch.fleet.versions(name))
