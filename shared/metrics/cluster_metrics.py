"""Metrics of the whole installation, at `GET /metrics/cluster` of any gateway: scrape it once."""

from __future__ import annotations

from shared.metrics.metric import CODE, LANE, MODEL, STATE, SUPERVISOR, VERSION, Metric, counter, gauge

# -- waiting work
WAITING = gauge(
    "takt_lane_waiting",
    "Waiting work: online requests (parts of at most one batch), or chunks of jobs.",
    MODEL,
    VERSION,
    LANE,
)
WAITING_ROWS = gauge("takt_lane_waiting_rows", "Rows of the waiting work, estimated.", MODEL, VERSION, LANE)
RUNNING = gauge("takt_lane_running", "Requests or chunks that workers have in hand.", MODEL, VERSION, LANE)
OLDEST_AGE = gauge(
    "takt_lane_oldest_age_seconds",
    "Age of the oldest unanswered request, or of the oldest waiting job; 0: none.",
    MODEL,
    VERSION,
    LANE,
)
WAITING_JOBS = gauge("takt_waiting_jobs", "Jobs with ready chunks.", MODEL, VERSION)
JOBS = gauge("takt_jobs", "Stored jobs by state: open, or ended and within their retention.", STATE)
LEASES = gauge("takt_leases", "Chunks that workers have claimed, and uploads that gateways are reading.")
WEBHOOKS = gauge("takt_waiting_webhooks", "Ended jobs with a webhook that is not delivered yet.")

# -- workers
WORKERS = gauge("takt_workers", "Workers with a heartbeat, by state.", STATE)
MODEL_WORKERS = gauge(
    "takt_model_workers",
    "Workers that serve the model version; 1 if none does and one loads it on demand.",
    MODEL,
    VERSION,
)
FAILED_WORKERS = gauge(
    "takt_model_failed_workers", "Live workers that failed to load the model version.", MODEL, VERSION
)
HEARTBEAT_AGE = gauge(
    "takt_oldest_heartbeat_age_seconds",
    "Age of the oldest heartbeat of workers that did not stop in order, up to an hour.",
)
SILENT_WORKERS = gauge(
    "takt_silent_workers",
    "Workers with a heartbeat that expired within about an hour, dead or hanging, and without a successor.",
)
RESTARTS = gauge("takt_worker_restarts", "Restarts of workers in the last five minutes.")
MODELS_MEMORY = gauge(
    "takt_models_memory_bytes", "Memory of the model versions that a supervisor holds.", SUPERVISOR
)
MODELS_MEMORY_LIMIT = gauge(
    "takt_models_memory_limit_bytes", "Memory budget of these versions; 0: no limit.", SUPERVISOR
)
MODEL_LOADS = counter("takt_model_loads_total", "Model versions that a supervisor has loaded.", SUPERVISOR)
MODEL_EVICTIONS = counter(
    "takt_model_evictions_total", "Model versions on demand that a supervisor dropped for others.", SUPERVISOR
)

# -- dead letters
DEAD_LETTERS = gauge(
    "takt_dead_letters",
    "Messages and records that were set aside; at most 1000 are kept.",
)
DEAD_LETTERS_EVER = counter("takt_dead_letters_total", "Dead letters since the start of the installation.")

# -- Redis and the payload store
REDIS_UP = gauge("takt_redis_up", "1: Redis answers; 0: no other metric of this path is known.")
REDIS_LATENCY = gauge("takt_redis_latency_seconds", "Duration of a small command, measured now.")
REDIS_MEMORY = gauge("takt_redis_memory_used_bytes", "Memory that Redis uses.")
REDIS_MEMORY_LIMIT = gauge("takt_redis_memory_limit_bytes", "`maxmemory` of Redis; 0: no limit.")
REDIS_CLIENTS = gauge("takt_redis_clients", "Client connections to Redis.")
REDIS_LOG_OK = gauge(
    "takt_redis_log_ok", "1: the last write to the append-only file succeeded, or there is none."
)
PAYLOAD_FREE = gauge(
    "takt_payload_free_bytes", "Free bytes of the payload folder; not available for an object store."
)
PAYLOAD_LIMIT = gauge(
    "takt_payload_limit_bytes",
    "Capacity of the payload folder: TAKT_MAX_STORED_BYTES, or the size of the disk.",
)


# -- conditions
CONDITIONS = gauge(
    "takt_conditions", "Present conditions by code, as in `GET /status`; 0: it is not present.", CODE
)

METRICS: tuple[Metric, ...] = (
    *(WAITING, WAITING_ROWS, RUNNING, OLDEST_AGE, WAITING_JOBS, JOBS, LEASES, WEBHOOKS),
    *(WORKERS, MODEL_WORKERS, FAILED_WORKERS, HEARTBEAT_AGE, SILENT_WORKERS, RESTARTS),
    *(MODELS_MEMORY, MODELS_MEMORY_LIMIT, MODEL_LOADS, MODEL_EVICTIONS),
    *(DEAD_LETTERS, DEAD_LETTERS_EVER),
    *(REDIS_UP, REDIS_LATENCY, REDIS_MEMORY, REDIS_MEMORY_LIMIT, REDIS_CLIENTS, REDIS_LOG_OK),
    *(PAYLOAD_FREE, PAYLOAD_LIMIT, CONDITIONS),
)
