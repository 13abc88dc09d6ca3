"""What is true of the whole, at `GET /metrics/cluster` of any gateway: to be scraped once."""

from __future__ import annotations

from shared.metrics.metric import LANE, MODEL, STATE, VERSION, Metric, counter, gauge

# -- what waits
WAITING = gauge(
    "takt_lane_waiting",
    "What waits: online requests (parts of at most a batch), or offline chunks.",
    MODEL,
    VERSION,
    LANE,
)
WAITING_ROWS = gauge("takt_lane_waiting_rows", "Rows of those, about.", MODEL, VERSION, LANE)
RUNNING = gauge("takt_lane_running", "The same of what a worker has in hand.", MODEL, VERSION, LANE)
OLDEST_AGE = gauge(
    "takt_lane_oldest_age_seconds",
    "Since the oldest request came that is not answered, or the oldest waiting job; 0: there is none.",
    MODEL,
    VERSION,
    LANE,
)
WAITING_JOBS = gauge("takt_waiting_jobs", "Jobs with chunks that a worker may take.", MODEL, VERSION)
JOBS = gauge("takt_jobs", "Jobs that are kept: open, or ended and not past their retention.", STATE)
LEASES = gauge("takt_leases", "Chunks that workers hold, and uploads that gateways read.")
WEBHOOKS = gauge("takt_waiting_webhooks", "Ended jobs of which the end is not told yet.")

# -- who works
WORKERS = gauge("takt_workers", "Workers with a heartbeat, by what they do.", STATE)
MODEL_WORKERS = gauge("takt_model_workers", "Workers that serve it now.", MODEL, VERSION)
FAILED_WORKERS = gauge("takt_model_failed_workers", "Live workers that could not load it.", MODEL, VERSION)
HEARTBEAT_AGE = gauge(
    "takt_oldest_heartbeat_age_seconds",
    "Since the last heartbeat of the worker that has been silent longest; one that left on purpose, or a "
    "minute ago, is not counted.",
)
SILENT_WORKERS = gauge(
    "takt_silent_workers", "Workers whose heartbeat has run out within about a minute: dead, or hanging."
)
RESTARTS = gauge("takt_worker_restarts", "How often a worker was started again within about a minute.")

# -- what could not be read
DEAD_LETTERS = gauge(
    "takt_dead_letters", "Things set aside as nobody could read them; 1000 at most are kept."
)
DEAD_LETTERS_EVER = counter("takt_dead_letters_total", "How many were ever set aside.")

# -- Redis, and where payloads lie
REDIS_UP = gauge("takt_redis_up", "1: Redis answers; 0: nothing else here is known.")
REDIS_LATENCY = gauge("takt_redis_latency_seconds", "One small command and back, just now.")
REDIS_MEMORY = gauge("takt_redis_memory_used_bytes", "What Redis holds.")
REDIS_MEMORY_LIMIT = gauge("takt_redis_memory_limit_bytes", "Its `maxmemory`; 0: none.")
REDIS_CLIENTS = gauge("takt_redis_clients", "Connections to it.")
REDIS_LOG_OK = gauge(
    "takt_redis_log_ok", "1: its last write to the append-only file succeeded, or it has none."
)
PAYLOAD_FREE = gauge(
    "takt_payload_free_bytes", "What the payload folder may still hold; not of an object store."
)
PAYLOAD_LIMIT = gauge(
    "takt_payload_limit_bytes", "What it may hold in all: TAKT_MAX_STORED_BYTES, or the size of its disk."
)

METRICS: tuple[Metric, ...] = (
    *(WAITING, WAITING_ROWS, RUNNING, OLDEST_AGE, WAITING_JOBS, JOBS, LEASES, WEBHOOKS),
    *(WORKERS, MODEL_WORKERS, FAILED_WORKERS, HEARTBEAT_AGE, SILENT_WORKERS, RESTARTS),
    *(DEAD_LETTERS, DEAD_LETTERS_EVER),
    *(REDIS_UP, REDIS_LATENCY, REDIS_MEMORY, REDIS_MEMORY_LIMIT, REDIS_CLIENTS, REDIS_LOG_OK),
    *(PAYLOAD_FREE, PAYLOAD_LIMIT),
)
