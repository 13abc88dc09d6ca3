"""Costs in the simulation: fixed times for each request, batch, row and chunk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Times in seconds: known values of the model, and values of other parts measured with a worker."""

    call_s: float  # model: each call …
    row_s: float  # … and each row of the call
    batch_s: float  # engine, around each call: reading, decoding, encoding, answering
    gateway_s: float  # a gateway's event loop, for each request, in both directions together
    queue_s: float  # the queue's thread, for each request, in both directions together
    path_s: float  # remaining latency in both directions, which occupies no resource
    chunk_s: float  # a chunk outside the engine: doorbell, claim, read, write and commit
    max_rows: int = 16
    max_slice_rows: int = 64

    def predict_s(self, rows: int) -> float:
        return self.call_s + rows * self.row_s

    @property
    def capacity(self) -> float:
        """Rows a second of a worker with full batches."""
        return self.max_rows / (self.predict_s(self.max_rows) + self.batch_s)
