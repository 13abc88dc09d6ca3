"""Export of spans to an OTLP collector through the OpenTelemetry SDK. Without a collector nothing is loaded.

    gateway ┬ validate, encode, reply, serialize          by the gateway
            ├ queue                                       by the worker that read the entry
            ├ batch ─ predict
            └ chunk, chunk, …                             by the workers of a job

The process that starts a trace decides whether it is recorded. A recorded trace crosses the queue as a
`traceparent` (https://www.w3.org/TR/trace-context/); without it, nothing is recorded. The SDK reads its own
standard variables, such as OTEL_TRACES_SAMPLER.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from shared.errors import OperatorError
from shared.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

LAST_SPANS_S = 2.0
"""Time that a stopping program gives the collector to accept its last spans."""


def open_provider(settings: Settings, service: str, instance: str) -> TracerProvider:
    """A provider that sends spans from its own thread. Spans that the collector does not accept in time are
    dropped.

    Raises OperatorError if OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise OperatorError("Traces need OpenTelemetry: install the extra `tracing`.") from None
    resource = Resource.create({SERVICE_INSTANCE_ID: instance})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # no OTEL_SERVICE_NAME
        resource = resource.merge(Resource({SERVICE_NAME: service}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.traces_url())))
    return provider


def close_provider(provider: TracerProvider) -> None:
    """Send the remaining spans. If the collector is away, this takes LAST_SPANS_S, not the SDK's 30 s."""
    closing = threading.Thread(target=provider.shutdown, name="traces_close", daemon=True)
    closing.start()
    closing.join(LAST_SPANS_S)
