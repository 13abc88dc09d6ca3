"""A client with a function as its HTTP transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from takt.client import Takt
from takt.retries import Retries

Handler = Callable[[httpx.Request], httpx.Response]
Serve = Callable[[Handler], None]
HASTY = Retries(first_pause_s=0.001)


def takt(handler: Handler, retries: Retries = HASTY) -> Takt:
    return Takt("http://takt.test", retries=retries, transport=httpx.MockTransport(handler))


def answering(status: int, document: Any, **headers: str) -> Takt:
    return takt(lambda _: httpx.Response(status, json=document, headers=headers))


def refusal(status: int, code: str, detail: Any, **headers: str) -> httpx.Response:
    document = {"error": code, "detail": detail, "request_id": "r-1"}
    return httpx.Response(status, json=document, headers=headers)


def job(state: str = "succeeded", **changes: Any) -> dict[str, Any]:
    return {
        "id": "j1",
        "state": state,
        "model": "iris",
        "version": "1.0.0",
        "digest": "ab",
        "reference": "",
        "tags": [],
        "priority": 5,
        "rows_total": 2,
        "rows_succeeded": 2,
        "rows_failed": 0,
        "percent": 100.0,
        "rows_per_s": None,
        "eta_s": None,
        "position": None,
        "waiting": None,
        "created_at": "2026-03-02T06:30:00Z",
        "started_at": "2026-03-02T06:30:01Z",
        "finished_at": "2026-03-02T06:30:03.5Z",
        "expires_at": None,
        "error": None,
        "links": {"self": "/jobs/j1"},
        **changes,
    }
