"""The Celery worker: it holds loaded models and is the only part of Takt that predicts.

engine      the one thread that owns the predictors and serves both lanes
online      the engine's side of the online lane: read, claim, answer
batches     which entries run together; what is late; what to do when a batch raises
turns       which lane runs next, and for how long
chunks      the offline lane: a chunk under its lease, in slices, between online batches
quarantine  a chunk that ended two workers, in a process of its own (cell), until its poison rows are known
memory      how much of it a worker may take
holdings    which model versions this worker holds, and why not
heartbeat   what this worker says of itself            reconciler  what leases and doorbells lost
watchdog    ends a process whose model call hangs      app         how Celery runs all this
"""

from shared import use_system_allocator

use_system_allocator()
