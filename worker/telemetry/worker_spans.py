"""Writes a worker's spans in a separate thread, so that the engine only hands over its measurements.

Each request's trace has `queue`, `batch` and `predict`. Requests share a batch: the batch span of its oldest
traced request links to all of its requests, and the batch spans of the others link to that span.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.keys import ModelKey
from shared.ledger import Claim
from shared.tracing import LAST_SPANS_S, close_provider
from worker.online.batch import EntryBatch

MOST_WAITING = 1000
"""Most batches and chunks without written spans; further ones are not traced."""

_PROPAGATOR = TraceContextTextMapPropagator()


@dataclass(frozen=True)
class TracedEntry:
    """A traced entry of a batch."""

    traceparent: str
    request_id: str
    rows: int
    queue_ms: float
    failed: bool


@dataclass(frozen=True)
class RanBatch:
    """A batch that ended at `ended_ns`, Unix time. The model ran for its last `predict_ns`."""

    key: ModelKey
    rows: int
    ended_ns: int
    took_ns: int
    predict_ns: int
    entries: Sequence[TracedEntry]


@dataclass(frozen=True)
class EndedChunk:
    key: ModelKey
    held: Claim
    outcome: str
    ended_ns: int
    took_ns: int


class WorkerTraces:
    """The traces of a worker."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("takt.worker")
        self._pending: queue.Queue[Callable[[], None]] = queue.Queue(MOST_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._make_spans, name="traces", daemon=True)
        self._thread.start()

    def batch_ran(self, batch: EntryBatch, took_s: float) -> None:
        if entries := traced_entries(batch):
            rows, predict_ns = batch.rows, round(batch.predict_ms * 1e6)
            key = batch.predictor.key
            ran = RanBatch(key, rows, time.time_ns(), round(took_s * 1e9), predict_ns, entries)
            self._enqueue(lambda: self._write_batch(ran))

    def chunk_ended(self, key: ModelKey, held: Claim, outcome: str, took_s: float) -> None:
        if held.traceparent:
            ended = EndedChunk(key, held, outcome, time.time_ns(), round(took_s * 1e9))
            self._enqueue(lambda: self._write_chunk(ended))

    def close(self) -> None:
        self._closing.set()
        self._thread.join(LAST_SPANS_S)
        close_provider(self._provider)

    def _enqueue(self, write: Callable[[], None]) -> None:
        with suppress(queue.Full):  # drop spans rather than delay a batch
            self._pending.put_nowait(write)

    def _make_spans(self) -> None:
        while not self._closing.is_set() or not self._pending.empty():
            try:
                write = self._pending.get(timeout=0.2)
            except queue.Empty:
                continue
            write()

    def _write_batch(self, ran: RanBatch) -> None:
        parents = [_parent(entry.traceparent) for entry in ran.entries]
        begun_ns = ran.ended_ns - ran.took_ns
        links = [Link(_context_of(parent)) for parent in parents]
        for index, (entry, parent) in enumerate(zip(ran.entries, parents, strict=True)):
            queued_ns = begun_ns - round(entry.queue_ms * 1e6)
            self._tracer.start_span("queue", parent, start_time=queued_ns).end(begun_ns)
            span = self._write_predicting(ran, entry, parent, links)
            if index == 0:
                links = [Link(span.get_span_context())]

    def _write_predicting(
        self, ran: RanBatch, entry: TracedEntry, parent: Context, links: Sequence[Link]
    ) -> Span:
        span = self._tracer.start_span(
            "batch",
            parent,
            kind=SpanKind.CONSUMER,
            links=links,
            start_time=ran.ended_ns - ran.took_ns,
            attributes={
                "takt.model": ran.key,
                "takt.batch_rows": ran.rows,
                "takt.rows": entry.rows,
                "takt.request_id": entry.request_id,
            },
        )
        if entry.failed:
            span.set_status(Status(StatusCode.ERROR))
        predicting = set_span_in_context(span)
        self._tracer.start_span("predict", predicting, start_time=ran.ended_ns - ran.predict_ns).end(
            ran.ended_ns
        )
        span.end(ran.ended_ns)
        return span

    def _write_chunk(self, chunk: EndedChunk) -> None:
        parent = _parent(chunk.held.traceparent)
        span = self._tracer.start_span(
            "chunk",
            parent,
            kind=SpanKind.CONSUMER,
            links=[Link(_context_of(parent))],
            start_time=chunk.ended_ns - chunk.took_ns,
            attributes={
                "takt.model": chunk.key,
                "takt.job_id": chunk.held.job_id,
                "takt.chunk": chunk.held.index,
                "takt.rows": chunk.held.rows,
                "takt.attempt": chunk.held.attempt,
                "takt.outcome": chunk.outcome,
            },
        )
        span.end(chunk.ended_ns)


def traced_entries(batch: EntryBatch) -> list[TracedEntry]:
    """The entries of a batch with a recorded trace, without their inputs."""
    failed = {delivery.entry_id for delivery in batch.failed}
    return [
        TracedEntry(
            delivery.entry.traceparent,
            delivery.entry.request_id,
            delivery.entry.rows,
            max(0.0, batch.read_at_ms - delivery.added_ms),
            delivery.entry_id in failed,
        )
        for delivery in batch.entries
        if delivery.entry.traceparent
    ]


def _parent(traceparent: str) -> Context:
    return _PROPAGATOR.extract({"traceparent": traceparent}, Context())


def _context_of(parent: Context) -> SpanContext:
    return get_current_span(parent).get_span_context()
