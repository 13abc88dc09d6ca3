"""Shortcuts for the most frequent job requests: they skip the framework's routing.

    POST /jobs                  without a query
    GET  /jobs/{id}/results     without a query

The endpoint functions are those of FastAPI's routes (`submission.py`, `results.py`). FastAPI's routing and
dependency injection take as much time as a job of one row.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access.principal import caller_of
from api.gateway import Gateway
from api.http.headers import text_field
from api.routes.jobs.results import results
from api.routes.jobs.submission import submit
from api.telemetry.gateway_counters import ROUTE

_RESULTS = re.compile(r"/jobs/([^/]+)/results")


class JobShortcuts:
    """Middleware that serves these requests and passes others to `app`. Runs after authentication."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answering = self._answering(scope, receive) if scope["type"] == "http" else None
        if answering is None:
            await self._app(scope, receive, send)
        else:
            response = await answering
            await response(scope, receive, send)

    def _answering(self, scope: Scope, receive: Receive) -> Awaitable[Response] | None:
        if scope["query_string"]:
            return None
        if scope["method"] == "POST" and scope["path"] == "/jobs":
            scope[ROUTE] = "/jobs"
            return submit(Request(scope, receive), self._gateway, caller_of(scope))
        if scope["method"] == "GET" and (found := _RESULTS.fullmatch(scope["path"])) is not None:
            scope[ROUTE] = "/jobs/{job_id}/results"
            accept = text_field(scope, "accept")
            return results(found[1], self._gateway, caller_of(scope), accept=accept)
        return None
