"""What the dashboard for Grafana shows. Rows are questions, in the order in which one asks them; panels that
show models follow the dashboard's choice of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_ONE_MODEL = 'model=~"$model"'
_BY_MODEL = "{{model}}@{{version}}"


@dataclass(frozen=True)
class Panel:
    """Curves over time, or, where it is a `stat`, the newest value in large figures."""

    title: str
    unit: str  # Grafana's own name of one
    queries: Mapping[str, str]  # PromQL by legend
    about: str = ""
    width: int = 8
    stat: bool = False
    alarm: tuple[float, float] | None = None  # of a stat: yellow from here on, red from there on
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
            _stat("Models that nobody holds", "count(takt_model_workers == 0) or vector(0)", alarm=(1, 1)),
            _stat("Redis answers", "takt_redis_up"),
            _stat("Silent workers", "takt_silent_workers", alarm=(1, 1)),
            _stat("Restarts in a minute", "takt_worker_restarts", alarm=(1, 3)),
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
                "Predictions that were refused or failed",
                "reqps",
                {
                    "{{model}} {{outcome}}": _rate("takt_requests_total", "model, outcome", _FAILED),
                },
                about="By the error's code; overloaded and model_not_loaded were refused at the door.",
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
        "What waits?",
        (
            Panel(
                "Rows that wait",
                "short",
                {f"{_BY_MODEL} {{{{lane}}}}": f"takt_lane_waiting_rows{{{_ONE_MODEL}}}"},
                about="About: by the size that requests, or a job's chunks, have.",
            ),
            Panel(
                "Since when the oldest waits",
                "s",
                {f"{_BY_MODEL} {{{{lane}}}}": f"takt_lane_oldest_age_seconds{{{_ONE_MODEL}}}"},
            ),
            Panel(
                "Requests and chunks that wait, or run",
                "short",
                {
                    f"{_BY_MODEL} {{{{lane}}}} waits": f"takt_lane_waiting{{{_ONE_MODEL}}}",
                    f"{_BY_MODEL} {{{{lane}}}} runs": f"takt_lane_running{{{_ONE_MODEL}}}",
                },
            ),
            Panel(
                "Jobs",
                "short",
                {
                    "{{state}}": "takt_jobs",
                    f"{_BY_MODEL} with chunks to run": f"takt_waiting_jobs{{{_ONE_MODEL}}}",
                    "webhooks to tell": "takt_waiting_webhooks",
                },
            ),
            Panel(
                "Rows in flight of each gateway",
                "short",
                {
                    "{{instance}}": "sum by (instance) (takt_inflight_rows)",
                    "{{instance}} limit": "takt_inflight_limit_rows",
                },
            ),
            Panel(
                "Admitted and shed",
                "reqps",
                {
                    "{{model}} admitted": _rate("takt_admitted_requests_total", "model"),
                    "{{model}} {{reason}}": _rate("takt_shed_requests_total", "model, reason"),
                },
            ),
        ),
    ),
    (
        "Where does the time go?",
        (
            Panel(
                "/predict and its kin",
                "s",
                {
                    f"{{{{route}}}} p{round(100 * q)}": _quantile(
                        q, "takt_http_request_duration_seconds", "route", 'route=~".*/predict(/batch)?"'
                    )
                    for q in (0.5, 0.99)
                },
            ),
            Panel(
                "Stages, on average",
                "s",
                {
                    "{{stage}}": f"{_rate('takt_stage_duration_seconds_sum', 'stage')} / "
                    f"{_rate('takt_stage_duration_seconds_count', 'stage')}"
                },
                stacked=True,
                about="The stages of Server-Timing. `queue` grows with load, `reply` with a busy gateway.",
            ),
            Panel(
                "Stages, one in a hundred",
                "s",
                {"{{stage}}": _quantile(0.99, "takt_stage_duration_seconds", "stage")},
            ),
            Panel(
                "Other routes, one in a hundred",
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
        "What do the workers do?",
        (
            Panel(
                "Rows a second",
                "short",
                {"{{model}} {{lane}} {{outcome}}": _rate("takt_rows_total", "model, lane, outcome")},
            ),
            Panel(
                "Rows of a batch, on average",
                "short",
                {
                    "{{model}} {{lane}}": f"{_rate('takt_batch_rows_sum', 'model, lane')} / "
                    f"{_rate('takt_batch_rows_count', 'model, lane')}"
                },
                about="Batches grow with the load; at max_rows of the model they are full.",
            ),
            Panel(
                "How busy the engines are",
                "percentunit",
                {
                    "{{instance}} {{lane}}": "sum by (instance, lane) "
                    "(rate(takt_engine_busy_seconds_total[$__rate_interval]))"
                },
                about="Of each worker's one engine: 100 % is all that it can do.",
            ),
            Panel(
                "Chunks by outcome",
                "short",
                {"{{model}} {{outcome}}": _rate("takt_chunks_total", "model, outcome")},
            ),
            Panel(
                "Second tries",
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
                    f"{_BY_MODEL} held": f"takt_model_workers{{{_ONE_MODEL}}}",
                    f"{_BY_MODEL} not loadable": f"takt_model_failed_workers{{{_ONE_MODEL}}}",
                },
            ),
            Panel(
                "Memory",
                "bytes",
                {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"takt-.*"}'},
            ),
            Panel(
                "How long models took to load",
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
        "How does Redis do, and the disk?",
        (
            Panel(
                "Memory of Redis",
                "bytes",
                {"used": "takt_redis_memory_used_bytes", "maxmemory": "takt_redis_memory_limit_bytes > 0"},
                about="At maxmemory new work is refused.",
            ),
            Panel(
                "One command and back",
                "s",
                {
                    f"{{{{instance}}}} p{round(100 * q)}": _quantile(
                        q, "takt_redis_roundtrip_duration_seconds", "instance", ""
                    )
                    for q in (0.5, 0.99)
                },
            ),
            Panel(
                "Connections, and how often they broke",
                "short",
                {
                    "connections": "takt_redis_clients",
                    "{{instance}} breaks": "increase(takt_gateway_queue_breaks_total[$__rate_interval])",
                },
            ),
            Panel(
                "Room for jobs' rows and results",
                "bytes",
                {"free": "takt_payload_free_bytes", "in all": "takt_payload_limit_bytes"},
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
