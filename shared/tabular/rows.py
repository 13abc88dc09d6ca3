"""Validated rows: readers yield them, and chunks are cut from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shared.arrow_tables import streamed_schema
from shared.specs import ModelSpec

MOST_REASON_CHARS = 500


@dataclass(frozen=True)
class Rows:
    """Consecutive rows.

    `inputs` have the Arrow types of the spec. A row with a text in `reasons` is invalid, and its inputs are
    undefined. `kept` are the input columns that are copied to the results. `lines` are the lines of the file
    in which the rows begin, from 1; None if the format has no lines or no row is invalid.
    """

    inputs: Sequence[pa.Array]
    reasons: pa.Array
    kept: Sequence[pa.Array] = ()
    lines: pa.Array | None = None

    def at_lines(self, lines: Sequence[int] | NDArray[np.int64]) -> Rows:
        """Returns the rows with their lines, if there is a line for each row."""
        if len(lines) != len(self.reasons):  # no line is better than a wrong line
            return self
        return replace(self, lines=pa.array(lines, pa.int64()))

    @property
    def has_invalid(self) -> bool:
        return bool(self.reasons.null_count < len(self.reasons))

    def with_short_reasons(self) -> Rows:
        """Returns the rows with short reasons, because each reason is stored and returned with its row."""
        if not self.has_invalid:
            return self
        return replace(self, reasons=pc.utf8_slice_codeunits(self.reasons, 0, MOST_REASON_CHARS))

    def located_reasons(self) -> pa.Array:
        """Returns the reasons, each with the line of its row: `… (line 10)`."""
        if self.lines is None or not self.has_invalid:
            return self.reasons
        lines = pc.cast(self.lines, pa.string())
        return pc.binary_join_element_wise(self.reasons, " (line ", lines, ")", "")

    def line_of(self, place: int) -> int | None:
        """Returns the line of the file in which a row begins."""
        line: int | None = None if self.lines is None else self.lines[place].as_py()
        return line

    def batch(self, spec: ModelSpec, kept_names: Sequence[str]) -> pa.RecordBatch:
        """Returns the rows as a record batch in their stored form."""
        schema = streamed_schema(spec, dict(zip(kept_names, (k.type for k in self.kept), strict=True)))
        return pa.RecordBatch.from_arrays([*self.inputs, self.located_reasons(), *self.kept], schema=schema)


def with_gaps(arrays: Sequence[pa.Array], places: Sequence[int | None]) -> list[pa.Array]:
    """Returns the arrays' rows at these places; None gives a row of nulls."""
    taken = pa.array(places, pa.int64())
    return [pc.take(array, taken) for array in arrays]
