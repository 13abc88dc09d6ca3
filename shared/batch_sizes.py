"""Largest numbers of rows: of an online batch, of an offline call, and of a request.

A model declares them in model.toml, in the tables `[batching]` and `[limits]`. `worker/online/batching.py`
forms batches of up to `max_rows`, and `worker/execution/slices.py` divides the chunks of jobs into calls of
up to `max_slice_rows`.
"""

from __future__ import annotations

from pydantic import Field

from shared.declarations import Declaration

_DECODED_BYTES = 16 * 2**20
"""Decoded images of an offline call."""


class Batching(Declaration):
    """Batch sizes of this model."""

    max_rows: int = Field(64, ge=1, le=65_536, description="rows of an online batch")
    max_slice_rows: int = Field(16_384, ge=1, description="rows of an offline call")

    def slice_rows(self, image_bytes: int) -> int:
        """Rows of an offline call whose rows have `image_bytes` of decoded images each.

        At least `max_rows`, and at most about 16 MiB of images.

        >>> Batching().slice_rows(0), Batching().slice_rows(2**20)
        (16384, 64)
        """
        if not image_bytes:
            return self.max_slice_rows
        return min(self.max_slice_rows, max(self.max_rows, _DECODED_BYTES // image_bytes))


class Limits(Declaration):
    """Limits of a request."""

    max_rows_per_request: int = Field(1000, ge=1, le=100_000)
