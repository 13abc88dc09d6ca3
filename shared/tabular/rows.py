"""Rows of a file, cast and checked: what every reader yields and what is cut into chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from shared.specs import ModelSpec
from shared.tables import streamed_schema

MOST_REASON_CHARS = 500


@dataclass(frozen=True)
class Rows:
    """Some rows in their order.

    `inputs` are of the spec's own Arrow types. Where `reasons` has a text its row is invalid, and what its
    inputs hold means nothing. `kept` are the columns that come back as they are.
    """

    inputs: Sequence[pa.Array]
    reasons: pa.Array
    kept: Sequence[pa.Array] = ()

    def with_short_reasons(self) -> Rows:
        """The same, no reason longer than a person reads: each is stored, and comes back with its row."""
        if self.reasons.null_count == len(self.reasons):
            return self
        shown = pc.utf8_slice_codeunits(self.reasons, 0, MOST_REASON_CHARS)
        return Rows(self.inputs, shown, self.kept)

    def batch(self, spec: ModelSpec, kept_names: Sequence[str]) -> pa.RecordBatch:
        """As it is stored."""
        schema = streamed_schema(spec, dict(zip(kept_names, (k.type for k in self.kept), strict=True)))
        return pa.RecordBatch.from_arrays([*self.inputs, self.reasons, *self.kept], schema=schema)


def with_gaps(arrays: Sequence[pa.Array], places: Sequence[int | None]) -> list[pa.Array]:
    """The arrays' rows by their places; None: a row of nulls."""
    taken = pa.array(places, pa.int64())
    return [pc.take(array, taken) for array in arrays]
