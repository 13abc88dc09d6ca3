"""What this gateway has counted since it started. Owned by the event loop; `/metrics` reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from starlette.types import Scope

from shared.keys import ModelKey, model_key
from shared.ledger import JobRecord
from shared.metrics.distribution import Distribution
from shared.metrics.gateway import HTTP_DURATION

ROUTE = "takt.route"
"""Where a scope says its route, if the framework did not route it."""
OTHER = "other"
"""The route of what nobody serves, and of what was refused before it said where to."""
UNREAD = "none"
"""The method of a request that was not read."""
CLIENT_LEFT = 499
"""The status of a request that was not answered, since its client had left: nginx's own."""


@dataclass
class RequestCounters:
    """Predictions of one model version, by error code where one was refused or failed."""

    admitted: int = 0
    shed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def refused(self, code: str) -> None:
        """One was sent away at the door, and is over with that."""
        self.shed[code] += 1
        self.failed[code] += 1


class HttpCounters:
    """Every HTTP request, by method, route and status."""

    def __init__(self) -> None:
        self._took_s: dict[tuple[str, str, int], Distribution] = {}

    def ended(self, scope: Scope, status: int | None, took_s: float) -> None:
        """`status`: None where nothing was answered."""
        self.add(scope["method"], _route(scope), status or CLIENT_LEFT, took_s)

    def add(self, method: str, route: str, status: int, took_s: float) -> None:
        answer = (method, route, status)
        found = self._took_s.get(answer)
        if found is None:
            found = self._took_s[answer] = Distribution(HTTP_DURATION)
        found.add(took_s)

    def __iter__(self) -> Iterator[tuple[tuple[str, str, str], Distribution]]:
        """(method, route, status), and how long those took, in s."""
        return (
            ((method, route, str(status)), took_s)
            for (method, route, status), took_s in list(self._took_s.items())
        )


class JobCounters:
    """Jobs that were taken in whole, by model version."""

    def __init__(self) -> None:
        self.jobs: Counter[ModelKey] = Counter()
        self.rows: Counter[ModelKey] = Counter()

    def add(self, record: JobRecord) -> None:
        key = model_key(record.model, record.version)
        self.jobs[key] += 1
        self.rows[key] += record.rows_total or 0


def _route(scope: Scope) -> str:
    """With names for what varies in it; what nobody serves is one route."""
    own = scope.get(ROUTE)
    return own if own is not None else getattr(scope.get("route"), "path", OTHER)
