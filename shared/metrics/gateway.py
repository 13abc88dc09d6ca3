"""What each gateway says of itself, at `GET /metrics`."""

from __future__ import annotations

from shared.metrics.metric import (
    DURATIONS_S,
    MODEL,
    OUTCOME,
    REASON,
    ROWS,
    SHORT_DURATIONS_S,
    STAGE,
    VERSION,
    Metric,
    counter,
    gauge,
    histogram,
)
from shared.metrics.program import BUILD

# -- health
UPTIME = gauge("takt_gateway_uptime_seconds", "Since this gateway started.")
READY = gauge(
    "takt_gateway_ready", "1: Redis answers, a worker holds the default model, and nobody stops this gateway."
)
DRAINING = gauge("takt_gateway_draining", "1: it was told to stop.")
QUEUE_OPEN = gauge("takt_gateway_queue_open", "1: Redis answers this gateway, and takes work.")
QUEUE_BREAKS = counter("takt_gateway_queue_breaks_total", "How often the way to Redis broke.")
REDIS_ROUNDTRIP = histogram(
    "takt_redis_roundtrip_duration_seconds",
    "One small command to Redis and back, measured twice a second.",
    bounds=SHORT_DURATIONS_S,
)

# -- HTTP
HTTP_DURATION = histogram(
    "takt_http_request_duration_seconds",
    "HTTP requests by route, method and status, until their last byte; 499: the client left before.",
    "method",
    "route",
    "status",
    bounds=DURATIONS_S,
)

# -- the online lane
ADMITTED = counter("takt_admitted_requests_total", "Predictions that were let in.", MODEL, VERSION)
SHED = counter(
    "takt_shed_requests_total",
    "Predictions that were refused at the door, by the error's code.",
    MODEL,
    VERSION,
    REASON,
)
REQUESTS = counter(
    "takt_requests_total",
    "Predictions that ended: succeeded, client_left, or the error's code.",
    MODEL,
    VERSION,
    OUTCOME,
)
INFLIGHT_ROWS = gauge(
    "takt_inflight_rows", "Rows of this gateway that wait for their answers.", MODEL, VERSION
)
INFLIGHT_LIMIT = gauge("takt_inflight_limit_rows", "TAKT_MAX_INFLIGHT_ROWS: of all models together.")
REQUEST_ROWS = histogram(
    "takt_request_rows", "Rows of a prediction that succeeded.", MODEL, VERSION, bounds=ROWS
)
REQUEST_BATCH_ROWS = histogram(
    "takt_request_batch_rows",
    "Rows of the batch that such a prediction ran in, those of others included.",
    MODEL,
    VERSION,
    bounds=ROWS,
)
STAGE_DURATION = histogram(
    "takt_stage_duration_seconds",
    "Where the time of predictions that succeeded went: the stages of `Server-Timing`.",
    MODEL,
    VERSION,
    STAGE,
    bounds=SHORT_DURATIONS_S,
)

# -- the offline lane
JOBS = counter("takt_accepted_jobs_total", "Jobs that were taken in whole.", MODEL, VERSION)
JOB_ROWS = counter("takt_accepted_job_rows_total", "Rows of those.", MODEL, VERSION)
UPLOADS = gauge("takt_running_uploads", "Files that are read now.")
UPLOADS_LIMIT = gauge("takt_uploads_limit", "TAKT_MAX_UPLOADS.")

METRICS: tuple[Metric, ...] = (
    *(BUILD, UPTIME, READY, DRAINING, QUEUE_OPEN, QUEUE_BREAKS, REDIS_ROUNDTRIP, HTTP_DURATION),
    *(ADMITTED, SHED, REQUESTS, INFLIGHT_ROWS, INFLIGHT_LIMIT, REQUEST_ROWS, REQUEST_BATCH_ROWS),
    *(STAGE_DURATION, JOBS, JOB_ROWS, UPLOADS, UPLOADS_LIMIT),
)
