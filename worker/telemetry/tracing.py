"""Where a worker's spans begin, for those who never load OpenTelemetry: it is loaded only where traced."""

from __future__ import annotations

from typing import Protocol

from shared.keys import ModelKey
from shared.ledger import Claim
from shared.settings import Settings
from worker.online.batch import EntryBatch


class Traces(Protocol):
    """What the engine and the chunks tell of themselves. Calls return at once."""

    def batch_ran(self, batch: EntryBatch, took_s: float) -> None:
        """A batch of the online lane has just ended."""

    def chunk_ended(self, key: ModelKey, held: Claim, outcome: str, took_s: float) -> None:
        """A chunk has just ended, one way or another."""

    def close(self) -> None:
        """Send what is left. Blocks, some seconds at most."""


class NoTraces:
    """Nothing is traced."""

    def batch_ran(self, batch: EntryBatch, took_s: float) -> None: ...

    def chunk_ended(self, key: ModelKey, held: Claim, outcome: str, took_s: float) -> None: ...

    def close(self) -> None: ...


NO_TRACES = NoTraces()


def open_traces(settings: Settings, worker: str) -> Traces:
    """Raises OperatorError where a collector is set and OpenTelemetry is not installed."""
    if not settings.otlp_endpoint:
        return NO_TRACES
    from shared.tracing import open_provider

    provider = open_provider(settings, "takt-worker", worker)
    from worker.telemetry.spans import WorkerTraces

    return WorkerTraces(provider)
