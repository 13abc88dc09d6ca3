"""Metrics of a worker, at a port of its own (`TAKT_WORKER_METRICS_PORT`)."""

from __future__ import annotations

from shared.metrics.metric import (
    BUILD,
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

# -- health
STATE_NOW = gauge(
    "takt_worker_state", "1 for the current state (starting, serving, draining), else 0.", STATE
)
HEARTBEATS = counter(
    "takt_heartbeats_total", "Heartbeats: sent, or missed because Redis did not accept them.", OUTCOME
)

# -- models
LOADED = gauge("takt_model_loaded", "1: loaded; 0: loading, or failed.", MODEL, VERSION)
LOAD_TIME = gauge("takt_model_load_duration_seconds", "Time to load, check and warm up.", MODEL, VERSION)
RATE = gauge("takt_model_rows_per_second", "Measured rate on this worker.", MODEL, VERSION, LANE)
CEILING = gauge(
    "takt_model_ceiling_rows",
    "Rows per call after a call ran out of memory; 0: no limit.",
    MODEL,
    VERSION,
)

# -- the engine
BUSY = counter("takt_engine_busy_seconds_total", "Engine time used by each lane.", LANE)
BATCH_ROWS = histogram(
    "takt_batch_rows", "Rows of an online batch, or of a slice of a chunk.", MODEL, VERSION, LANE, bounds=ROWS
)
PREDICT_DURATION = histogram(
    "takt_predict_duration_seconds",
    "Time of a model call: a batch or a slice.",
    MODEL,
    VERSION,
    LANE,
    bounds=SHORT_DURATIONS_S,
)
ROWS_ENDED = counter(
    "takt_rows_total",
    "Rows that succeeded or failed; those of a chunk count with its commit.",
    MODEL,
    VERSION,
    LANE,
    OUTCOME,
)
PARTS = counter(
    "takt_request_parts_total",
    "Request parts that ended here: answered, failed, late (past the deadline, not run), or given_up "
    "(ended two workers).",
    MODEL,
    VERSION,
    OUTCOME,
)
REDELIVERIES = counter(
    "takt_redeliveries_total",
    "Request parts that another worker got before and did not answer.",
    MODEL,
    VERSION,
)

SHADOW_ROWS = counter(
    "takt_shadow_rows_total",
    "Rows of a shadow version that were compared: agreed, differed, or failed.",
    MODEL,
    VERSION,
    OUTCOME,
)
SHADOW_DURATION = histogram(
    "takt_shadow_duration_seconds",
    "Time of the model calls of shadowed rows that ran together.",
    MODEL,
    VERSION,
    bounds=SHORT_DURATIONS_S,
)

# -- chunks
CHUNKS = counter(
    "takt_chunks_total",
    "Chunks that left this worker: committed, repeated (committed before), lost (another worker has the "
    "lease), handed_back, unreadable, or failed.",
    MODEL,
    VERSION,
    OUTCOME,
)
CHUNK_DURATION = histogram(
    "takt_chunk_duration_seconds",
    "Time from claim to end of a chunk here.",
    MODEL,
    VERSION,
    bounds=(*DURATIONS_S[3:], 120.0, 300.0, 900.0),
)
ATTEMPTS = counter("takt_chunk_attempts_total", "Claimed chunks.", MODEL, VERSION)
RETRIES = counter("takt_chunk_retries_total", "Claimed chunks that had an attempt before.", MODEL, VERSION)
QUARANTINES = counter(
    "takt_chunk_quarantines_total",
    "Claimed chunks that ran in the sandbox.",
    MODEL,
    VERSION,
)
LEASES = gauge("takt_held_leases", "Chunks that this worker has claimed now.")
RENEWALS = counter(
    "takt_lease_renewals_total",
    "Lease renewals: renewed, ended (job canceled or paused, or lease expired), or failed (Redis did not "
    "answer).",
    OUTCOME,
)

SCRUBBED = counter(
    "takt_scrubbed_objects_total",
    "Objects that the scrubber has read: intact, corrupt or missing.",
    OUTCOME,
)

METRICS: tuple[Metric, ...] = (
    *(BUILD, STATE_NOW, HEARTBEATS, LOADED, LOAD_TIME, RATE, CEILING),
    *(BUSY, BATCH_ROWS, PREDICT_DURATION, ROWS_ENDED, PARTS, REDELIVERIES, SHADOW_ROWS, SHADOW_DURATION),
    *(CHUNKS, CHUNK_DURATION, ATTEMPTS, RETRIES, QUARANTINES, LEASES, RENEWALS, SCRUBBED),
)
