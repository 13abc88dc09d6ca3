"""The job ledger: the one owner of a job's state. Nothing else writes a job's keys.

open ─▶ append* ─▶ seal          the gateway: a job, its chunks, its total
claim ─▶ renew* ─▶ commit        a worker: a chunk under a lease and a fencing token
              └──▶ hand_back     … or not, and the chunk is ready again
expire, ready                    the reconciler: what leases and doorbells lost
"""

from shared.ledger.executors import AsyncLedger, Ledger
from shared.ledger.records import (
    ChunkRecord,
    ChunkState,
    Claim,
    JobError,
    JobRecord,
    JobState,
    NewJob,
    Outcome,
    Reservation,
    new_job_id,
)

__all__ = [
    "AsyncLedger",
    "ChunkRecord",
    "ChunkState",
    "Claim",
    "JobError",
    "JobRecord",
    "JobState",
    "Ledger",
    "NewJob",
    "Outcome",
    "Reservation",
    "new_job_id",
]
