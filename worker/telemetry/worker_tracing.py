"""The tracing interface of a worker. OpenTelemetry is imported only if tracing is configured."""

from __future__ import annotations

from typing import Protocol

from shared.keys import ModelKey
from shared.ledger import Claim
from shared.settings import Settings
from worker.online.batch import EntryBatch


class Traces(Protocol):
    """Receives the batches and chunks to trace. Calls return at once."""

    def batch_ran(self, batch: EntryBatch, took_s: float) -> None:
        """A batch of the online lane has just ended."""

    def chunk_ended(self, key: ModelKey, held: Claim, outcome: str, took_s: float) -> None:
        """A chunk has just ended, with any outcome."""

    def close(self) -> None:
        """Send the remaining spans. Blocks for some seconds at most."""


class NoTraces:
    """Traces nothing."""

    def batch_ran(self, batch: EntryBatch, took_s: float) -> None: ...

    def chunk_ended(self, key: ModelKey, held: Claim, outcome: str, took_s: float) -> None: ...

    def close(self) -> None: ...


NO_TRACES = NoTraces()


def open_traces(settings: Settings, worker: str) -> Traces:
    """Open the configured traces. Raises OperatorError if a collector is set and OpenTelemetry is not
    installed."""
    if not settings.otlp_endpoint:
        return NO_TRACES
    from shared.tracing import open_provider

    provider = open_provider(settings, "takt-worker", worker)
    from worker.telemetry.worker_spans import WorkerTraces

    return WorkerTraces(provider)
