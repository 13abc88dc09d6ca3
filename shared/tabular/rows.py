"""Validated rows: readers yield them, and chunks are cut from them."""

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
    """Consecutive rows.

    `inputs` have the Arrow types of the spec. A row with a text in `reasons` is invalid, and its inputs are
    undefined. `kept` are the input columns that are copied to the results.
    """

    inputs: Sequence[pa.Array]
    reasons: pa.Array
    kept: Sequence[pa.Array] = ()

    def with_short_reasons(self) -> Rows:
        """Returns the rows with short reasons, because each reason is stored and returned with its row."""
        if self.reasons.null_count == len(self.reasons):
            return self
        shown = pc.utf8_slice_codeunits(self.reasons, 0, MOST_REASON_CHARS)
        return Rows(self.inputs, shown, self.kept)

    def batch(self, spec: ModelSpec, kept_names: Sequence[str]) -> pa.RecordBatch:
        """Returns the rows as a record batch in their stored form."""
        schema = streamed_schema(spec, dict(zip(kept_names, (k.type for k in self.kept), strict=True)))
        return pa.RecordBatch.from_arrays([*self.inputs, self.reasons, *self.kept], schema=schema)


def with_gaps(arrays: Sequence[pa.Array], places: Sequence[int | None]) -> list[pa.Array]:
    """Returns the arrays' rows at these places; None gives a row of nulls."""
    taken = pa.array(places, pa.int64())
    return [pc.take(array, taken) for array in arrays]
