"""Access to a request's trace without importing OpenTelemetry, which only a traced gateway loads."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from starlette.types import Scope

from shared.settings import Settings

if TYPE_CHECKING:
    from api.telemetry.request_spans import RequestTrace, RequestTraces

_PLACE = "takt.trace"
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")


def open_traces(settings: Settings, gateway: str) -> RequestTraces | None:
    """None if no collector is set. Raises OperatorError if OpenTelemetry is not installed."""
    if not settings.otlp_endpoint:
        return None
    from shared.tracing import open_provider

    provider = open_provider(settings, "takt-gateway", gateway)
    from api.telemetry.request_spans import RequestTraces

    return RequestTraces(provider)


def put_trace(scope: Scope, trace: RequestTrace) -> None:
    """Attach a trace to its request."""
    scope[_PLACE] = trace
    _traceparent.set(trace.traceparent)


def trace_of(scope: Scope) -> RequestTrace | None:
    """The trace of this request; None if it is not recorded."""
    trace: RequestTrace | None = scope.get(_PLACE)
    return trace


def current_traceparent() -> str:
    """The `traceparent` for a job submitted by this request; empty if it is not recorded."""
    return _traceparent.get()
