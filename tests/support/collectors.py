"""A collector of spans: an OTLP/HTTP server that decodes and stores received spans."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH = "/v1/traces"
KINDS = Span.SpanKind


@dataclass(frozen=True)
class Kept:
    """A span, ids in hex."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: frozenset[str]  # ids of linked spans
    attributes: dict[str, str | int]
    begun_ns: int
    ended_ns: int
    error: bool


class Collector:
    """Stores spans in the order of arrival."""

    def __init__(self) -> None:
        self.spans: list[Kept] = []
        self.bodies: list[bytes] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def of_trace(self, trace_id: str) -> list[Kept]:
        return [span for span in list(self.spans) if span.trace_id == trace_id]

    def named(self, name: str) -> list[Kept]:
        return [span for span in list(self.spans) if span.name == name]

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        self.spans += _spans(ExportTraceServiceRequest.FromString(body))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@contextmanager
def collector() -> Iterator[Collector]:
    """Start a collector, and stop it after the block."""
    started = Collector()
    started.start()
    try:
        yield started
    finally:
        started.stop()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Kept]:
    for of_resource in request.resource_spans:
        service = str(_values(of_resource.resource.attributes)["service.name"])
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield _kept(service, span)


def _kept(service: str, span: Span) -> Kept:
    return Kept(
        service,
        span.name,
        KINDS.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        frozenset(link.span_id.hex() for link in span.links),
        _values(span.attributes),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == span.status.STATUS_CODE_ERROR,
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in attributes}


def _handler(owner: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path != PATH:
                self.send_error(404)
                return
            owner.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    return Handler
