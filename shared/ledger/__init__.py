"""The job ledger: the one owner of a job's state. Nothing else writes a job's keys.

open ─▶ append* ─▶ seal          the gateway: a job, its chunks, its total
              └──▶ fill          … the last chunks and the total at once
submit                           … a small job as a whole, its rows in the ledger
claim ─▶ renew* ─▶ commit        a worker: a chunk under a lease and a fencing token
              └──▶ hand_back     … or not, and the chunk is ready again
cancel, pause, resume, …         the job's owner
recompute                        a chunk with a lost or damaged result: it runs again, or fails for good
reserve, unreserve, bind         an Idempotency-Key, while and after its body is read
expire, retire, ready            the reconciler: leases, retention, doorbells
claim_webhook ─▶ record_webhook  a worker: telling a job's end to who asked for it
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
    Inline,
    JobError,
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
    "Inline",
    "JobError",
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
    "WebhookAttempt",
    "WebhookClaim",
    "computed_by_name",
    "new_job_id",
]
