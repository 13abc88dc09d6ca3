"""The panels of the Grafana dashboard. Rows are questions in the order of a diagnosis; panels about models
follow the dashboard's model filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_ONE_MODEL = 'model=~"$model"'
_BY_MODEL = "{{model}}@{{version}}"


@dataclass(frozen=True)
class Panel:
    """A graph over time, or, if it is a `stat`, the latest value."""

    title: str
    unit: str  # Grafana's name of a unit
    queries: Mapping[str, str]  # PromQL by legend
    about: str = ""
    width: int = 8
    stat: bool = False
    alarm: tuple[float, float] | None = None  # of a stat: thresholds of yellow and red
    stacked: bool = False


def _quantile(q: float, metric: str, by: str, of: str = _ONE_MODEL) -> str:
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{{{of}}}[$__rate_interval])))"


def _rate(metric: str, by: str, of: str = _ONE_MODEL) -> str:
    return f"sum by ({by}) (rate({metric}{{{of}}}[$__rate_interval]))"


def _stat(title: str, query: str, unit: str = "short", alarm: tuple[float, float] | None = None) -> Panel:
    return Panel(title, unit, {"": query}, width=3, stat=True, alarm=alarm)


_SUCCEEDED = f'{_ONE_MODEL}, outcome="succeeded"'
_FAILED = f'{_ONE_MODEL}, outcome!="succeeded"'

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Is it healthy?",
        (
            _stat("Gateways ready", "sum(takt_gateway_ready)"),
            _stat("Workers serving", 'sum(takt_workers{state="serving"})'),
            _stat("Models without a worker", "count(takt_model_workers == 0) or vector(0)", alarm=(1, 1)),
            _stat("Redis answers", "takt_redis_up"),
            _stat("Silent workers", "takt_silent_workers", alarm=(1, 1)),
            _stat("Restarts per minute", "takt_worker_restarts", alarm=(1, 3)),
            _stat("Dead letters", "takt_dead_letters", alarm=(1, 100)),
            _stat(
                "Oldest request",
                'max(takt_lane_oldest_age_seconds{lane="online"})',
                unit="s",
                alarm=(1, 5),
            ),
            Panel(
                "Predictions",
                "reqps",
                {f"{_BY_MODEL} succeeded": _rate("takt_requests_total", "model, version", _SUCCEEDED)},
            ),
            Panel(
                "Rejected and failed predictions",
                "reqps",
                {
                    "{{model}} {{outcome}}": _rate("takt_requests_total", "model, outcome", _FAILED),
                },
                about="By error code. Admission rejects requests as overloaded or model_not_loaded.",
            ),
            Panel(
                "HTTP answers by status",
                "reqps",
                {"{{status}}": _rate("takt_http_request_duration_seconds_count", "status", "")},
                stacked=True,
            ),
        ),
    ),
    (
        "How long are the queues?",
        (
            Panel(
                "Waiting rows",
                "short",
                {f"{_BY_MODEL} {{{{lane}}}}": f"takt_lane_waiting_rows{{{_ONE_MODEL}}}"},
                about="Estimated from the size of requests and of a job's chunks.",
            ),
            Panel(
                "Age of the oldest waiting entry",
                "s",
                {f"{_BY_MODEL} {{{{lane}}}}": f"takt_lane_oldest_age_seconds{{{_ONE_MODEL}}}"},
            ),
            Panel(
                "Waiting and running requests and chunks",
                "short",
                {
                    f"{_BY_MODEL} {{{{lane}}}} waiting": f"takt_lane_waiting{{{_ONE_MODEL}}}",
                    f"{_BY_MODEL} {{{{lane}}}} running": f"takt_lane_running{{{_ONE_MODEL}}}",
                },
            ),
            Panel(
                "Jobs",
                "short",
                {
                    "{{state}}": "takt_jobs",
                    f"{_BY_MODEL} with chunks to run": f"takt_waiting_jobs{{{_ONE_MODEL}}}",
                    "webhooks to deliver": "takt_waiting_webhooks",
                },
            ),
            Panel(
                "Rows in flight per gateway",
                "short",
                {
                    "{{instance}}": "sum by (instance) (takt_inflight_rows)",
                    "{{instance}} limit": "takt_inflight_limit_rows",
                },
            ),
            Panel(
                "Admitted and rejected requests",
                "reqps",
                {
                    "{{model}} admitted": _rate("takt_admitted_requests_total", "model"),
                    "{{model}} {{reason}}": _rate("takt_shed_requests_total", "model, reason"),
                },
            ),
        ),
    ),
    (
        "Which stage is slow?",
        (
            Panel(
                "Prediction routes",
                "s",
                {
                    f"{{{{route}}}} p{round(100 * q)}": _quantile(
                        q, "takt_http_request_duration_seconds", "route", 'route=~".*/predict(/batch)?"'
                    )
                    for q in (0.5, 0.99)
                },
            ),
            Panel(
                "Stages, average",
                "s",
                {
                    "{{stage}}": f"{_rate('takt_stage_duration_seconds_sum', 'stage')} / "
                    f"{_rate('takt_stage_duration_seconds_count', 'stage')}"
                },
                stacked=True,
                about="The stages of Server-Timing. `queue` grows with load, `reply` with a busy gateway.",
            ),
            Panel(
                "Stages, p99",
                "s",
                {"{{stage}}": _quantile(0.99, "takt_stage_duration_seconds", "stage")},
            ),
            Panel(
                "Other routes, p99",
                "s",
                {
                    "{{route}}": _quantile(
                        0.99,
                        "takt_http_request_duration_seconds",
                        "route",
                        'route!~".*/(predict(/batch)?|events)"',
                    )
                },
            ),
            Panel(
                "Model calls",
                "s",
                {
                    f"{{{{model}}}} {{{{lane}}}} p{round(100 * q)}": _quantile(
                        q, "takt_predict_duration_seconds", "model, lane"
                    )
                    for q in (0.5, 0.99)
                },
            ),
            Panel(
                "A chunk, from claim to commit",
                "s",
                {
                    f"{{{{model}}}} p{round(100 * q)}": _quantile(q, "takt_chunk_duration_seconds", "model")
                    for q in (0.5, 0.99)
                },
            ),
        ),
    ),
    (
        "How busy are the workers?",
        (
            Panel(
                "Rows per second",
                "short",
                {"{{model}} {{lane}} {{outcome}}": _rate("takt_rows_total", "model, lane, outcome")},
            ),
            Panel(
                "Rows per batch, average",
                "short",
                {
                    "{{model}} {{lane}}": f"{_rate('takt_batch_rows_sum', 'model, lane')} / "
                    f"{_rate('takt_batch_rows_count', 'model, lane')}"
                },
                about="Batches grow with load, up to the model's max_rows.",
            ),
            Panel(
                "Engine utilization",
                "percentunit",
                {
                    "{{instance}} {{lane}}": "sum by (instance, lane) "
                    "(rate(takt_engine_busy_seconds_total[$__rate_interval]))"
                },
                about="Each worker has one engine; 100 % is its full capacity.",
            ),
            Panel(
                "Chunks by outcome",
                "short",
                {"{{model}} {{outcome}}": _rate("takt_chunks_total", "model, outcome")},
            ),
            Panel(
                "Retries",
                "short",
                {
                    "{{model}} chunks": _rate("takt_chunk_retries_total", "model"),
                    "{{model}} in quarantine": _rate("takt_chunk_quarantines_total", "model"),
                    "{{model}} requests": _rate("takt_redeliveries_total", "model"),
                },
            ),
            Panel(
                "Workers",
                "short",
                {
                    "{{state}}": "takt_workers",
                    f"{_BY_MODEL} loaded": f"takt_model_workers{{{_ONE_MODEL}}}",
                    f"{_BY_MODEL} failed to load": f"takt_model_failed_workers{{{_ONE_MODEL}}}",
                },
            ),
            Panel(
                "Memory",
                "bytes",
                {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"takt-.*"}'},
            ),
            Panel(
                "Memory of models",
                "bytes",
                {
                    "{{supervisor}} held": "takt_models_memory_bytes",
                    "{{supervisor}} budget": "takt_models_memory_limit_bytes",
                },
            ),
            Panel(
                "Models loaded and dropped",
                "short",
                {
                    "{{supervisor}} loaded": _rate("takt_model_loads_total", "supervisor", ""),
                    "{{supervisor}} dropped": _rate("takt_model_evictions_total", "supervisor", ""),
                },
            ),
            Panel(
                "Load time of models",
                "s",
                {f"{{{{instance}}}} {_BY_MODEL}": f"takt_model_load_duration_seconds{{{_ONE_MODEL}}}"},
            ),
            Panel(
                "Heartbeats and leases",
                "short",
                {
                    "oldest heartbeat, s": "takt_oldest_heartbeat_age_seconds",
                    "leases": "takt_leases",
                    "{{instance}} missed": 'rate(takt_heartbeats_total{outcome="missed"}[$__rate_interval])',
                },
            ),
        ),
    ),
    (
        "Are Redis and the disk healthy?",
        (
            Panel(
                "Memory of Redis",
                "bytes",
                {"used": "takt_redis_memory_used_bytes", "maxmemory": "takt_redis_memory_limit_bytes > 0"},
                about="At maxmemory, new work is rejected.",
            ),
            Panel(
                "Round trip of a command",
                "s",
                {
                    f"{{{{instance}}}} p{round(100 * q)}": _quantile(
                        q, "takt_redis_roundtrip_duration_seconds", "instance", ""
                    )
                    for q in (0.5, 0.99)
                },
            ),
            Panel(
                "Connections and disconnects",
                "short",
                {
                    "connections": "takt_redis_clients",
                    "{{instance}} disconnects": "increase(takt_gateway_queue_breaks_total[$__rate_interval])",
                },
            ),
            Panel(
                "Storage for rows and results of jobs",
                "bytes",
                {"free": "takt_payload_free_bytes", "total": "takt_payload_limit_bytes"},
            ),
            Panel(
                "Processor time",
                "percentunit",
                {"{{job}} {{instance}}": 'rate(process_cpu_seconds_total{job=~"takt-.*"}[$__rate_interval])'},
                about="100 % is one core.",
            ),
            Panel(
                "Uploads",
                "short",
                {"{{instance}}": "takt_running_uploads", "{{instance}} limit": "takt_uploads_limit"},
            ),
        ),
    ),
)
