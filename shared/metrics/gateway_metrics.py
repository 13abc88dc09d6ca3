"""Metrics of a gateway, at `GET /metrics`."""

from __future__ import annotations

from shared.metrics.metric import (
    BUILD,
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

# -- health
UPTIME = gauge("takt_gateway_uptime_seconds", "Time since this gateway started.")
READY = gauge(
    "takt_gateway_ready",
    "1: Redis answers, a worker has the default model loaded, and the gateway is not stopping.",
)
PROCESSES = gauge(
    "takt_gateway_processes",
    "Configured processes of this gateway (TAKT_GATEWAYS). Above 1, every metric has a label `process`.",
)
DRAINING = gauge("takt_gateway_draining", "1: this gateway is stopping.")
QUEUE_OPEN = gauge("takt_gateway_queue_open", "1: Redis answers this gateway and accepts writes.")
QUEUE_BREAKS = counter("takt_gateway_queue_breaks_total", "Lost connections to Redis.")
REDIS_ROUNDTRIP = histogram(
    "takt_redis_roundtrip_duration_seconds",
    "Duration of a small Redis command, measured twice a second.",
    bounds=SHORT_DURATIONS_S,
)

# -- HTTP
HTTP_DURATION = histogram(
    "takt_http_request_duration_seconds",
    "HTTP requests by route, method and status, until the last byte; 499: the client left first.",
    "method",
    "route",
    "status",
    bounds=DURATIONS_S,
)

# -- the online lane
ADMITTED = counter("takt_admitted_requests_total", "Predictions admitted to the queue.", MODEL, VERSION)
SHED = counter(
    "takt_shed_requests_total",
    "Predictions rejected by admission, by error code.",
    MODEL,
    VERSION,
    REASON,
)
SHADOW_SENT = counter(
    "takt_shadow_sent_rows_total",
    "Sampled rows for a shadow version: sent, or dropped because there was no room.",
    MODEL,
    VERSION,
    OUTCOME,
)
REQUESTS = counter(
    "takt_requests_total",
    "Ended predictions: succeeded, client_left, or the error code.",
    MODEL,
    VERSION,
    OUTCOME,
)
INFLIGHT_ROWS = gauge("takt_inflight_rows", "Rows of this gateway that wait for an answer.", MODEL, VERSION)
INFLIGHT_LIMIT = gauge("takt_inflight_limit_rows", "TAKT_MAX_INFLIGHT_ROWS, for all models together.")
REQUEST_ROWS = histogram("takt_request_rows", "Rows of a successful prediction.", MODEL, VERSION, bounds=ROWS)
REQUEST_BATCH_ROWS = histogram(
    "takt_request_batch_rows",
    "Rows of the batch in which a successful prediction ran.",
    MODEL,
    VERSION,
    bounds=ROWS,
)
STAGE_DURATION = histogram(
    "takt_stage_duration_seconds",
    "Duration of each stage of successful predictions, as in `Server-Timing`.",
    MODEL,
    VERSION,
    STAGE,
    bounds=SHORT_DURATIONS_S,
)

# -- the offline lane
JOBS = counter("takt_accepted_jobs_total", "Jobs accepted completely.", MODEL, VERSION)
JOB_ROWS = counter("takt_accepted_job_rows_total", "Rows of accepted jobs.", MODEL, VERSION)
UPLOADS = gauge("takt_running_uploads", "Uploads that are being read.")
UPLOADS_LIMIT = gauge("takt_uploads_limit", "TAKT_MAX_UPLOADS, the most uploads at a time.")

METRICS: tuple[Metric, ...] = (
    *(BUILD, UPTIME, READY, PROCESSES, DRAINING, QUEUE_OPEN, QUEUE_BREAKS, REDIS_ROUNDTRIP, HTTP_DURATION),
    *(ADMITTED, SHED, SHADOW_SENT, REQUESTS, INFLIGHT_ROWS, INFLIGHT_LIMIT, REQUEST_ROWS, REQUEST_BATCH_ROWS),
    *(STAGE_DURATION, JOBS, JOB_ROWS, UPLOADS, UPLOADS_LIMIT),
)
