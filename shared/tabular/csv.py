"""Streaming reader of CSV: reads the needed columns as text, and marks lines with a wrong number of cells."""

from __future__ import annotations

import csv as lines
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from shared.errors import InvalidInputError
from shared.specs import ModelSpec
from shared.tabular.casting import Caster
from shared.tabular.column_matching import ColumnMatching, match_columns
from shared.tabular.csv_records import Block, Records, line_ends
from shared.tabular.decompression import ByteSource
from shared.tabular.missing_columns import Head
from shared.tabular.rows import Rows, with_gaps
from shared.tabular.text_decoding import Text
from shared.tabular.upload_options import UploadOptions

BLOCK_BYTES = 2**20
"""Size of the parsed blocks; also the limit of a line."""
_Lame: TypeAlias = deque[tuple[int, str]]
"""Rows with a wrong number of cells: their index in the file, and the error."""


class CsvReader:
    """Yields rows in the order of their lines. Empty lines are skipped; an empty cell is a missing value.

    The constructor reads the header, and raises InvalidInputError if a model input has no column. Iterating
    raises
    InvalidInputError if the file is unreadable: an invalid byte, an unclosed quote, a truncated last line.
    """

    def __init__(
        self, source: ByteSource, spec: ModelSpec, options: UploadOptions, charset: str | None
    ) -> None:
        text = iter(Text(source, charset, BLOCK_BYTES))
        self._records = Records(
            text, delimiter=options.delimiter, quote=options.quote, most_bytes=BLOCK_BYTES
        )
        self._names = _header(self._records.first(), options)
        head = Head(options.delimiter, one_line=self._records.one_line)
        self.layout = match_columns(spec, self._names, options.kept, text=True, head=head)
        self.ignored = self.layout.ignored
        self._caster = Caster(spec, self.layout, decimal=options.decimal)
        self._options = options

    def __iter__(self) -> Iterator[Rows]:
        first = 0
        for block in self._records:
            lame: _Lame = deque()
            rows = self._caster.rows(self._parsed(block, lame, first))
            rows = _with_lame(rows, lame, first)
            if rows.has_invalid:
                rows = rows.at_lines(self._records.lines_of(block))
            first += len(rows.reasons)
            if len(rows.reasons):
                yield rows

    def close(self) -> None:
        """Does nothing: no resource is open."""

    def _parsed(self, block: Block, lame: _Lame, first: int) -> pa.RecordBatch:
        """Returns a block's complete rows; `lame` receives the others.

        Raises InvalidInputError at a truncated end.
        """
        wanted = self.layout.wanted
        cut_off: list[int] = []

        def note(line: Any) -> str:  # Any: pyarrow publishes no types
            """Arrow counts rows from 1, without empty lines."""
            reason = f"has {line.actual_columns} cells, but the header has {line.expected_columns}"
            lame.append((first + line.number - 1, reason))
            if line.actual_columns < line.expected_columns:
                cut_off.append(first + line.number - 1)
            return "skip"

        table = csv.read_csv(
            pa.BufferReader(block.data),
            csv.ReadOptions(use_threads=False, block_size=len(block.data) + 1, column_names=self._names),
            csv.ParseOptions(
                delimiter=self._options.delimiter,
                quote_char=self._options.quote,
                newlines_in_values=True,
                invalid_row_handler=note,
            ),
            csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        last_row = first + table.num_rows + len(lame) - 1
        if not block.ended and cut_off and cut_off[-1] == last_row:
            raise _cut_off(block, lame[-1][1])
        return table.combine_chunks().to_batches()[0] if table.num_rows else _nothing(self.layout)


def _cut_off(block: Block, reason: str) -> InvalidInputError:
    line = block.line + line_ends(block.data)
    return InvalidInputError(
        f"The body is cut off: the last line, {line}, {reason}, and has no line end. "
        "If the file is complete, end this line with a line end."
    )


def _header(record: bytes, options: UploadOptions) -> list[str]:
    """Returns the column names. Raises InvalidInputError if there are none."""
    try:
        cells = lines.reader([record.decode()], delimiter=options.delimiter, quotechar=options.quote)
        names = next(cells, [])
    except lines.Error as error:
        raise InvalidInputError(f"The header is not CSV: {error}.") from None
    if not names:
        raise InvalidInputError("The body is empty: CSV begins with a header line of column names.")
    return names


def _nothing(layout: ColumnMatching) -> pa.RecordBatch:
    wanted = layout.wanted
    return pa.RecordBatch.from_arrays([pa.array([], pa.string()) for _ in wanted], names=wanted)


def _with_lame(rows: Rows, lame: _Lame, first: int) -> Rows:
    """Inserts the lame rows in their places. `first` is the index in the file of the first row."""
    if not lame or lame[0][0] > first + len(rows.reasons):
        return rows
    places: list[int | None] = []
    reasons: list[str] = []
    for place in range(len(rows.reasons) + 1):
        while lame and lame[0][0] == first + len(places):
            reasons.append(lame.popleft()[1])
            places.append(None)
        places.append(place)
    places.pop()
    return _gapped(rows, places, reasons)


def _gapped(rows: Rows, places: Sequence[int | None], reasons: Sequence[str]) -> Rows:
    given = iter(reasons)
    of_gaps = pa.array([next(given) if place is None else None for place in places], pa.string())
    own, *_ = with_gaps([rows.reasons], places)
    return Rows(with_gaps(rows.inputs, places), pc.coalesce(own, of_gaps), with_gaps(rows.kept, places))
