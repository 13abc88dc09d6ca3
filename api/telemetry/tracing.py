"""Where a request's trace is found, for those who load no OpenTelemetry: that is left to a traced gateway."""

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
    """None where no collector is set. Raises OperatorError where OpenTelemetry is not installed."""
    if not settings.otlp_endpoint:
        return None
    from shared.tracing import open_provider

    provider = open_provider(settings, "takt-gateway", gateway)
    from api.telemetry.request_spans import RequestTraces

    return RequestTraces(provider)


def put_trace(scope: Scope, trace: RequestTrace) -> None:
    """Say which trace this request is, for those who answer it."""
    scope[_PLACE] = trace
    _traceparent.set(trace.traceparent)


def trace_of(scope: Scope) -> RequestTrace | None:
    """The trace of this request; None where it is not recorded."""
    trace: RequestTrace | None = scope.get(_PLACE)
    return trace


def current_traceparent() -> str:
    """What a job that this request submits is traced by; empty where it is not recorded."""
    return _traceparent.get()
