"""A gateway's measurements of its requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.telemetry.gateway_counters import HttpCounters

if TYPE_CHECKING:  # loads OpenTelemetry
    from api.telemetry.request_spans import RequestTraces


@dataclass(frozen=True)
class Telemetry:
    """Counters of HTTP requests, and traces if a collector is set."""

    http: HttpCounters
    traces: RequestTraces | None
