"""The job ledger: the only writer of a job's state and Redis keys.

open ─▶ append* ─▶ seal          gateway: a job, its chunks, its total
              └──▶ fill          gateway: the last chunks and the total together
submit                           gateway: a complete small job, with its rows in the ledger
claim ─▶ renew* ─▶ commit        worker: a chunk under a lease and a fencing token
              └──▶ hand_back     worker: a chunk given up, ready again
cancel, pause, resume, …         the job's owner
recompute                        a chunk with a lost or damaged result: it runs again, or fails for good
reserve, unreserve, bind         an Idempotency-Key, during and after the upload of its body
expire_leases, ready, expire_jobs  reconciler: lost leases, doorbells, retention
claim_webhook ─▶ record_webhook  worker: delivery of a webhook after a job's end

async_ledger, threaded_ledger    the executors: `AsyncLedger` for asyncio, `Ledger` for threads
job_transitions, chunk_transitions
                                 each transition as a value: script, arguments, decoder of the answer
lua, scripts/                    the Lua scripts, which run inside Redis
records, serialization           the records, and their form in Redis
"""

from shared.ledger.async_ledger import AsyncLedger
from shared.ledger.records import (
    INLINE_BYTES,
    NOTHING_INLINE,
    ChunkRecord,
    ChunkState,
    Claim,
    CommitOutcome,
    Ended,
    FailedRows,
    FailureReason,
    Inline,
    JobEvent,
    JobHead,
    JobRecord,
    JobState,
    NewJob,
    OwnerStanding,
    QueueOrder,
    QueuePosition,
    Recomputed,
    Reservation,
    Submitted,
    TimelineEvent,
    WebhookAttempt,
    WebhookClaim,
    computed_by_name,
    new_job_id,
)
from shared.ledger.threaded_ledger import Ledger

__all__ = [
    "INLINE_BYTES",
    "NOTHING_INLINE",
    "AsyncLedger",
    "ChunkRecord",
    "ChunkState",
    "Claim",
    "CommitOutcome",
    "Ended",
    "FailedRows",
    "FailureReason",
    "Inline",
    "JobEvent",
    "JobHead",
    "JobRecord",
    "JobState",
    "Ledger",
    "NewJob",
    "OwnerStanding",
    "QueueOrder",
    "QueuePosition",
    "Recomputed",
    "Reservation",
    "Submitted",
    "TimelineEvent",
    "WebhookAttempt",
    "WebhookClaim",
    "computed_by_name",
    "new_job_id",
]
