"""CSV, as a stream: the wanted columns as text, and lines with more or fewer cells than the header."""

from __future__ import annotations

import csv as lines
import io
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from api.uploads.casting import Caster
from api.uploads.decoding import ByteSource, Transcoder, known_charset
from api.uploads.hints import Head
from api.uploads.layout import Layout, lay_out
from api.uploads.options import UploadOptions
from api.uploads.rows import Rows, with_gaps
from shared.errors import InvalidInput
from shared.specs import ModelSpec

BLOCK_BYTES = 2**20
"""What is parsed at once; no line may be longer."""
_BOM = b"\xef\xbb\xbf"
_Lame: TypeAlias = deque[tuple[int, str]]
"""Rows that cannot be split into cells, by their index, and why. Arrow tells of them as it parses."""


class CsvReader:
    """Rows in the order of their lines; an empty line is no row, an empty cell is a missing value.

    Making one reads the header, and raises InvalidInput where it cannot feed the model. Iterating raises
    InvalidInput where the text as a whole cannot be read.
    """

    def __init__(self, source: ByteSource, spec: ModelSpec, options: UploadOptions, charset: str) -> None:
        charset = known_charset(charset)
        text = source if charset in ("utf-8", "ascii", "utf-8-sig") else Transcoder(source, charset)
        head = text.read(BLOCK_BYTES).removeprefix(_BOM)
        self.layout = lay_out(
            spec, _header(head, options), options.kept, text=True, head=_written(head, options)
        )
        self.ignored = self.layout.ignored
        self._caster = Caster(spec, self.layout, decimal=options.decimal)
        self._lame: _Lame = deque()
        self._file = _Rejoined(head, text)
        self._options = options

    def __iter__(self) -> Iterator[Rows]:
        first = 0
        for batch in self._batches():
            rows = _with_lame(self._caster.rows(batch), self._lame, first)
            first += len(rows.reasons)
            yield rows
        if self._lame:
            yield _with_lame(self._caster.rows(_nothing(self.layout)), self._lame, first)

    def close(self) -> None:
        """Nothing is held open between two rows."""

    def _batches(self) -> Iterator[pa.RecordBatch]:
        wanted = self.layout.wanted
        with csv.open_csv(
            self._file,
            csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            csv.ParseOptions(
                delimiter=self._options.delimiter,
                quote_char=self._options.quote,
                newlines_in_values=True,
                invalid_row_handler=self._note,
            ),
            csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
            ),
        ) as reader:
            yield from reader

    def _note(self, line: Any) -> str:  # Any: pyarrow publishes no types
        """Arrow numbers lines from 1, the header, and leaves out empty ones."""
        reason = f"has {line.actual_columns} cells, but the header has {line.expected_columns}"
        self._lame.append((line.number - 2, reason))
        return "skip"


class _Rejoined(io.RawIOBase):
    """A file whose head was read before."""

    def __init__(self, head: bytes, rest: ByteSource) -> None:
        super().__init__()
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._rest.read(size)
        stop = len(self._head) if size < 0 else size
        data, self._head = self._head[:stop], self._head[stop:]
        return data


def _written(head: bytes, options: UploadOptions) -> Head:
    is_whole = len(head) < BLOCK_BYTES
    return Head(
        options.delimiter, one_line=is_whole and b"\n" not in head.strip() and b"\r" not in head.strip()
    )


def _header(head: bytes, options: UploadOptions) -> list[str]:
    """The column names. Raises InvalidInput where there are none."""
    try:
        text = head.decode(errors="strict" if len(head) < BLOCK_BYTES else "ignore")
        cells = lines.reader(io.StringIO(text), delimiter=options.delimiter, quotechar=options.quote)
        names = next((cell for cell in cells if cell), [])
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The body is not UTF-8: {error}. Name its charset: charset=cp949.") from None
    except lines.Error as error:
        raise InvalidInput(f"The header is not CSV: {error}.") from None
    if not names:
        raise InvalidInput("The body is empty: CSV begins with a header that names its columns.")
    return names


def _nothing(layout: Layout) -> pa.RecordBatch:
    wanted = layout.wanted
    return pa.RecordBatch.from_arrays([pa.array([], pa.string()) for _ in wanted], names=wanted)


def _with_lame(rows: Rows, lame: _Lame, first: int) -> Rows:
    """The same rows, from row `first` of the file on, with the lame ones that stand between or next."""
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
