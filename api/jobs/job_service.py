"""The gateway's parts that jobs need. No HTTP in here."""

from __future__ import annotations

from dataclasses import dataclass

from api.access.limits import Limiter
from api.access.principal import Principal
from api.fleet.job_queues import JobQueues
from api.fleet.redis_status import RedisStatus
from api.fleet.waiting_work import FleetState
from api.http.lifecycle import Lifecycle
from api.jobs.broken_uploads import BrokenUploads
from api.jobs.upload_threads import UploadThreads
from api.models.catalog import Catalog, Servable
from api.telemetry.gateway_counters import JobCounters
from shared.ledger import AsyncLedger
from shared.payloads import PayloadStore
from shared.settings import Settings
from shared.tabular.chunking import chunk_rows


@dataclass(frozen=True)
class JobService:
    """The parts of a gateway that create, describe and read jobs."""

    settings: Settings
    lifecycle: Lifecycle
    catalog: Catalog
    queue: RedisStatus
    fleet: FleetState
    limiter: Limiter
    ledger: AsyncLedger
    payloads: PayloadStore
    uploads: UploadThreads
    broken_uploads: BrokenUploads
    queue_orders: JobQueues
    accepted: JobCounters

    def chunk_rows(self, servable: Servable, caller: Principal) -> int:
        """Most rows of a chunk, by the measured rates of workers and by the owner's `max_running_rows`; at
        least the rows of a model call."""
        fleet = self.fleet.now
        rows_per_s = fleet.slice_rates.get(servable.key, 0.0) / max(1, fleet.holders(servable.key))
        least, limit = servable.spec.batching.max_rows, caller.share.max_running_rows
        rows = chunk_rows(rows_per_s, least=least, most=self.settings.chunk_rows)
        return rows if limit is None else min(rows, max(least, limit))
