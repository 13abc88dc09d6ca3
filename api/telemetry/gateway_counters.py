"""Counters of this gateway since its start. The event loop owns them; `/metrics` reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.types import Scope

from shared.keys import ModelKey, model_key
from shared.ledger import JobRecord
from shared.metrics.distribution import Distribution
from shared.metrics.gateway_metrics import HTTP_DURATION

if TYPE_CHECKING:  # loads OpenTelemetry
    from api.telemetry.request_spans import RequestTraces


@dataclass(frozen=True)
class Telemetry:
    """Counters of HTTP requests, and traces if a collector is set."""

    http: HttpCounters
    traces: RequestTraces | None


ROUTE = "takt.route"
"""Key of a scope's route, for requests that the framework did not route."""
OTHER = "other"
"""Route of unknown paths, and of requests rejected before their path was read."""
UNREAD = "none"
"""Method of a request that was not read."""
CLIENT_LEFT = 499
"""Status of a request without a response because its client disconnected, as in nginx."""


@dataclass
class RequestCounters:
    """Predictions of a model version: admitted, and rejected or failed by error code."""

    admitted: int = 0
    shed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def refused(self, code: str) -> None:
        """Count a request that was rejected by admission, and so has ended."""
        self.shed[code] += 1
        self.failed[code] += 1


class HttpCounters:
    """Every HTTP request, by method, route and status."""

    def __init__(self) -> None:
        self._took_s: dict[tuple[str, str, int], Distribution] = {}

    def ended(self, scope: Scope, status: int | None, took_s: float) -> None:
        """Count a request. `status`: None if it got no response."""
        self.add(scope["method"], _route(scope), status or CLIENT_LEFT, took_s)

    def add(self, method: str, route: str, status: int, took_s: float) -> None:
        answer = (method, route, status)
        found = self._took_s.get(answer)
        if found is None:
            found = self._took_s[answer] = Distribution(HTTP_DURATION)
        found.add(took_s)

    def __iter__(self) -> Iterator[tuple[tuple[str, str, str], Distribution]]:
        """Yield (method, route, status) with the distribution of durations in s."""
        return (
            ((method, route, str(status)), took_s)
            for (method, route, status), took_s in list(self._took_s.items())
        )


class JobCounters:
    """Sealed jobs and their rows, by model version."""

    def __init__(self) -> None:
        self.jobs: Counter[ModelKey] = Counter()
        self.rows: Counter[ModelKey] = Counter()

    def add(self, record: JobRecord) -> None:
        key = model_key(record.model, record.version)
        self.jobs[key] += 1
        self.rows[key] += record.rows_total or 0


def _route(scope: Scope) -> str:
    """The route with parameter names; unknown paths share a route."""
    own = scope.get(ROUTE)
    return own if own is not None else getattr(scope.get("route"), "path", OTHER)
