"""What each worker says of itself, at a small port of its own (`TAKT_WORKER_METRICS_PORT`)."""

from __future__ import annotations

from shared.metrics.metric import (
    DURATIONS_S,
    LANE,
    MODEL,
    OUTCOME,
    ROWS,
    SHORT_DURATIONS_S,
    STATE,
    VERSION,
    Metric,
    counter,
    gauge,
    histogram,
)
from shared.metrics.program import BUILD

# -- health
STATE_NOW = gauge("takt_worker_state", "1 for what it does: starting, serving or draining; else 0.", STATE)
HEARTBEATS = counter("takt_heartbeats_total", "Heartbeats: sent, or missed as Redis took none.", OUTCOME)

# -- models
LOADED = gauge("takt_model_loaded", "1: this worker holds it; 0: it loads it, or could not.", MODEL, VERSION)
LOAD_TIME = gauge(
    "takt_model_load_duration_seconds", "How long loading, checking and warming it took.", MODEL, VERSION
)
RATE = gauge(
    "takt_model_rows_per_second", "How fast it runs here, as measured at work.", MODEL, VERSION, LANE
)
CEILING = gauge(
    "takt_model_ceiling_rows", "Most rows of a call since one ran out of memory; 0: none did.", MODEL, VERSION
)

# -- the engine
BUSY = counter("takt_engine_busy_seconds_total", "The engine's time that each lane had.", LANE)
BATCH_ROWS = histogram(
    "takt_batch_rows", "Rows of a batch, or of a slice of a chunk.", MODEL, VERSION, LANE, bounds=ROWS
)
PREDICT_DURATION = histogram(
    "takt_predict_duration_seconds",
    "How long the model took for a batch, or a slice.",
    MODEL,
    VERSION,
    LANE,
    bounds=SHORT_DURATIONS_S,
)
ROWS_ENDED = counter(
    "takt_rows_total",
    "Rows that ended here: succeeded or failed; those of a chunk count as it is committed.",
    MODEL,
    VERSION,
    LANE,
    OUTCOME,
)
PARTS = counter(
    "takt_request_parts_total",
    "Predictions, or parts of at most a batch, that ended here: answered, failed, late (past their deadline, "
    "not run), or given_up (they ended two workers).",
    MODEL,
    VERSION,
    OUTCOME,
)
REDELIVERIES = counter(
    "takt_redeliveries_total",
    "Of those, the ones that another worker was handed before, and did not answer.",
    MODEL,
    VERSION,
)

# -- chunks
CHUNKS = counter(
    "takt_chunks_total",
    "Chunks that left this worker: committed, repeated (committed before), lost (the lease went to another), "
    "handed_back, unreadable, or failed.",
    MODEL,
    VERSION,
    OUTCOME,
)
CHUNK_DURATION = histogram(
    "takt_chunk_duration_seconds",
    "From a chunk's claim until it left this worker.",
    MODEL,
    VERSION,
    bounds=(*DURATIONS_S[3:], 120.0, 300.0, 900.0),
)
ATTEMPTS = counter("takt_chunk_attempts_total", "Chunks that were claimed.", MODEL, VERSION)
RETRIES = counter("takt_chunk_retries_total", "… of those, not for the first time.", MODEL, VERSION)
QUARANTINES = counter(
    "takt_chunk_quarantines_total",
    "… and of those, run in a process of their own: they ended two workers.",
    MODEL,
    VERSION,
)
LEASES = gauge("takt_held_leases", "Chunks that this worker holds now.")
RENEWALS = counter(
    "takt_lease_renewals_total",
    "Renewals: renewed, ended (the job was canceled or paused, or the lease ran out), or failed as Redis did "
    "not answer.",
    OUTCOME,
)

METRICS: tuple[Metric, ...] = (
    *(BUILD, STATE_NOW, HEARTBEATS, LOADED, LOAD_TIME, RATE, CEILING),
    *(BUSY, BATCH_ROWS, PREDICT_DURATION, ROWS_ENDED, PARTS, REDELIVERIES),
    *(CHUNKS, CHUNK_DURATION, ATTEMPTS, RETRIES, QUARANTINES, LEASES, RENEWALS),
)
