"""Where spans go: to an OTLP collector, by OpenTelemetry's SDK, if one is set. Else none of it is loaded.

    gateway ┬ validate, encode, reply, serialize          by the gateway
            ├ queue                                       by the worker that read it
            ├ batch ─ predict
            └ chunk, chunk, …                             by the workers of a job

What is traced is decided where a trace begins, and crosses the queue as a `traceparent`
(https://www.w3.org/TR/trace-context/) that stands in a message only where the trace is recorded. The SDK
reads its own standard variables, OTEL_TRACES_SAMPLER and its kin.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from shared.errors import OperatorError
from shared.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

LAST_SPANS_S = 2.0
"""How long a program that stops waits for the collector to take its last spans."""


def open_provider(settings: Settings, service: str, instance: str) -> TracerProvider:
    """What makes spans and sends them from a thread of its own. Spans that the collector does not take in
    time are dropped.

    Raises OperatorError where OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise OperatorError("Traces need OpenTelemetry: install the extra `tracing`.") from None
    resource = Resource.create({SERVICE_INSTANCE_ID: instance})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # OTEL_SERVICE_NAME says nothing
        resource = resource.merge(Resource({SERVICE_NAME: service}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.traces_url())))
    return provider


def close_provider(provider: TracerProvider) -> None:
    """Send what is left. A collector that is away costs LAST_SPANS_S, not the SDK's half a minute."""
    closing = threading.Thread(target=provider.shutdown, name="traces_close", daemon=True)
    closing.start()
    closing.join(LAST_SPANS_S)
