"""Spans of a request: `gateway` from its head to its response, with the gateway's stages as children."""

from __future__ import annotations

import time
from collections.abc import Iterable

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from api.telemetry.gateway_counters import ROUTE
from shared.tracing import close_provider

_PROPAGATOR = TraceContextTextMapPropagator()
_CARRIED = (b"traceparent", b"tracestate")
_ELSEWHERE = ("queue", "batch", "predict")
"""Stages with spans made by the worker."""
_UNTRACED = ("/health", "/metrics", "/console", "/docs", "/redoc", "/static-offline-docs", "/openapi.json")
"""Paths without traces: they are polled often, or have no content of interest."""


class RequestTraces:
    """The traces of one gateway."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("takt.gateway")

    def begin(self, scope: Scope, request_id: str) -> RequestTrace | None:
        """Start the trace of a request, within the client's trace if it sent one. None if not recorded."""
        path: str = scope["path"]
        if path.startswith(_UNTRACED):
            return None
        span = self._tracer.start_span(
            "gateway",
            _PROPAGATOR.extract(_carrier(scope["headers"])),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"],
                "url.path": path,
                "takt.request_id": request_id,
            },
        )
        return RequestTrace(span, self._tracer) if span.is_recording() else None

    def close(self) -> None:
        """Send the remaining spans. Blocks for two seconds at most."""
        close_provider(self._provider)


class RequestTrace:
    """The trace of a recorded request."""

    def __init__(self, span: Span, tracer: Tracer) -> None:
        context = span.get_span_context()
        self._span = span
        self._tracer = tracer
        self.trace_id = f"{context.trace_id:032x}"
        self.traceparent = f"00-{self.trace_id}-{context.span_id:016x}-{context.trace_flags:02x}"

    def predicted(
        self, key: str, rows: int, batch_rows: int, times_ms: dict[str, float], validating_ns: int
    ) -> None:
        """Add the stages of an answered prediction, in sequence from `validating_ns` (Unix time)."""
        self._span.set_attributes({"takt.model": key, "takt.rows": rows, "takt.batch_rows": batch_rows})
        parent = set_span_in_context(self._span)
        at_ns = validating_ns
        for stage, ms in times_ms.items():
            end_ns = at_ns + round(ms * 1e6)
            if stage not in _ELSEWHERE:
                self._tracer.start_span(stage, parent, start_time=at_ns).end(end_ns)
            at_ns = end_ns

    def end(self, scope: Scope, status: int | None) -> None:
        """End the span. `status`: None if the request got no response."""
        if ROUTE in scope:
            self._span.set_attribute("http.route", scope[ROUTE])
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if status is None or status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(time.time_ns())


def _carrier(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in headers if name in _CARRIED}
