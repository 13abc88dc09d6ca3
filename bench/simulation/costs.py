"""What takes time in the simulation. Fixed for each request, batch, row and chunk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Seconds, of the model as it is known and of everything around it as it was measured at one worker."""

    call_s: float  # of the model: each call …
    row_s: float  # … and each of its rows
    batch_s: float  # of the engine, around each call: reading, decoding, encoding, answering
    gateway_s: float  # of a gateway's event loop, for each request, on its way in and out together
    queue_s: float  # of the queue's thread, for each request, both ways together
    path_s: float  # of the rest of both ways, in which nobody is held up
    chunk_s: float  # of a chunk outside the engine: its doorbell, claimed and read, stored and committed
    max_rows: int = 16
    max_slice_rows: int = 64

    def predict_s(self, rows: int) -> float:
        return self.call_s + rows * self.row_s

    @property
    def capacity(self) -> float:
        """Rows a second of one worker, in full batches."""
        return self.max_rows / (self.predict_s(self.max_rows) + self.batch_s)
