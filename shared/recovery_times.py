"""How soon the work of a dead worker runs again: all delays of recovery.

a worker counts as dead    TAKT_HEARTBEAT_TTL_S after its last heartbeat
its online entries return  at the next look of another worker, CLAIM_EVERY_S apart
its chunks return          SILENT_GRACE_S after a pass of the reconciler found the worker dead, passes are
                           RECONCILE_EVERY_S apart; at the latest when their leases end (TAKT_LEASE_S)
"""

from __future__ import annotations

HEARTBEATS_PER_TTL = 3
"""Heartbeats per lifetime of a worker's record: two may be lost."""
FORGET_WORKER_MS = 3_600_000
"""How long the id of a dead worker stays in the index of workers, and counts as silent."""
RESTARTS_MS = 60_000
"""Starts of a worker within this time are counted as restarts."""

CLAIM_EVERY_S = 1.0
"""Time between two looks of a worker for online entries of dead workers."""

RECONCILE_EVERY_S = 1.0
"""Time between two passes of the reconciler, which returns chunks and sends missing doorbells."""
RECONCILER_LOCK_MS = 3000
"""Lifetime of the reconciler's lock: after that, another worker takes over."""
SILENT_GRACE_S = 2.0
"""Lease of a worker without a heartbeat: after a restart, a server has lost the heartbeats of all workers."""
UNCONFIRMED_LEASE_MS = 3000
"""Lease of a claim until its worker confirms that it has received the claim."""
