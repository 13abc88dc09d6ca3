"""Streaming reader of NDJSON: each line is an object or a list, validated like the rows of a JSON body.

Kept columns are removed from the objects first, and on request every other field that is no input; else an
unknown field is an error of its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from itertools import islice

import msgspec
import pyarrow as pa

from shared.arrow_tables import batch_of_values, input_schema
from shared.errors import InvalidInputError
from shared.tabular.decompression import ByteSource
from shared.tabular.rows import Rows, with_gaps
from shared.tabular.text_decoding import Text
from shared.tabular.upload_options import UploadOptions
from shared.validation import RowValidator

SLICE_ROWS = 500
"""Rows that are validated at once. Between batches the thread yields to the event loop."""
_BLOCK_BYTES = 2**18
_LONGEST_LINE_BYTES = 2**20
_encode = msgspec.json.encode
_decode = msgspec.json.decode
_skim = msgspec.json.Decoder(msgspec.Raw).decode


class NdjsonReader:
    """Yields rows in the order of their lines; empty lines are skipped.

    Iterating raises InvalidInputError at an invalid byte, at a line that is too long, and if the last line is
    truncated.
    """

    def __init__(
        self, source: ByteSource, validator: RowValidator, options: UploadOptions, charset: str | None
    ) -> None:
        self._text = Text(source, charset, _BLOCK_BYTES)
        self._validator = validator
        self._options = options
        self.ignored: tuple[str, ...] = ()

    def close(self) -> None:
        """Does nothing: no resource is open."""

    def __iter__(self) -> Iterator[Rows]:
        lines = _lines(iter(self._text))
        while waiting := list(islice(lines, SLICE_ROWS)):
            numbers, texts = zip(*waiting, strict=True)
            rows = rows_of_json(
                self._validator, texts, self._options.kept, only_inputs=self._options.ignore_unknown_fields
            )
            yield rows.at_lines(numbers) if rows.has_invalid else rows


def rows_of_json(
    validator: RowValidator, texts: Sequence[bytes], kept: Sequence[str] = (), *, only_inputs: bool = False
) -> Rows:
    """Validates rows that are JSON texts. Kept values are returned as text, null if a row has none.

    `only_inputs`: fields that are no input are removed first.
    """
    if kept or only_inputs:
        is_input = _field_test(validator.spec.input_keys, frozenset(kept), only_inputs=only_inputs)
        parted = [_parted(text, kept, is_input) for text in texts]
    else:
        parted = [(text, ()) for text in texts]
    inputs, reasons = _validated(validator, [text for text, _ in parted])
    columns = [pa.array([values[i] for _, values in parted], pa.string()) for i in range(len(kept))]
    return Rows(inputs, reasons, columns)


def _field_test(known: Set[str], kept: Set[str], *, only_inputs: bool) -> Callable[[str], bool]:
    """Returns whether a field belongs to the inputs, which are validated; unknown fields are invalid."""
    return known.__contains__ if only_inputs else lambda name: name in known or name not in kept


def _validated(validator: RowValidator, texts: Sequence[bytes]) -> tuple[list[pa.Array], pa.Array]:
    try:
        return _columns(validator, texts), pa.nulls(len(texts), pa.string())
    except InvalidInputError:
        reasons = [_reason(validator, text) for text in texts]
    good = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
    counted = iter(range(len(good)))
    places = [next(counted) if reason is None else None for reason in reasons]
    return with_gaps(_columns_of_each(validator, good), places), pa.array(reasons, pa.string())


def _columns(validator: RowValidator, texts: Sequence[bytes]) -> list[pa.Array]:
    """Raises InvalidInputError if a row is invalid, or if objects and lists are mixed."""
    values = validator.read_rows(b"[%s]" % b",".join(texts), 0)
    if len(values[0]) != len(texts):  # a line such as `1],[2`
        raise InvalidInputError
    return list(batch_of_values(validator.spec, values).columns)


def _columns_of_each(validator: RowValidator, texts: Sequence[bytes]) -> list[pa.Array]:
    """Returns the columns of rows that are valid individually; objects and lists may be mixed."""
    if not texts:
        return [pa.array([], field.type) for field in input_schema(validator.spec)]
    rows = [_columns(validator, [text]) for text in texts]
    return [pa.concat_arrays([row[i] for row in rows]) for i in range(len(rows[0]))]


def _reason(validator: RowValidator, text: bytes) -> str | None:
    try:
        _columns(validator, [text])
    except InvalidInputError as error:
        named = [f"{p['field']}: {p['msg']}" if p["field"] else str(p["msg"]) for p in error.problems]
        return "; ".join(named) or "is not a single JSON value"
    return None


def _parted(
    text: bytes, kept: Sequence[str], is_input: Callable[[str], bool]
) -> tuple[bytes, Sequence[str | None]]:
    """Returns a row's inputs, and its kept values; all null if it is not an object."""
    try:
        row = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return text, (None,) * len(kept)
    if not isinstance(row, dict):
        return text, (None,) * len(kept)
    inputs = _encode({name: value for name, value in row.items() if is_input(name)})
    return inputs, [_as_text(row.get(name)) for name in kept]


def _as_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else _encode(value).decode()


def _lines(text: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yields non-empty lines without their ends, each with its number from 1.

    Raises InvalidInputError if the last line is truncated.
    """
    rest, ended = b"", 0
    for block in text:
        *whole, rest = (rest + block).split(b"\n")
        yield from ((ended + n, line) for n, text in enumerate(whole, 1) if (line := text.strip()))
        ended += len(whole)
        if len(rest) > _LONGEST_LINE_BYTES:
            raise InvalidInputError(f"Line {ended + 1} is longer than {_LONGEST_LINE_BYTES} bytes.")
    if last := rest.strip():
        _require_whole(last, ended + 1)
        yield ended + 1, last


def _require_whole(line: bytes, number: int) -> None:
    """Raises InvalidInputError if the last line, which has no line end, ends within its JSON value."""
    try:
        _skim(line)
    except RecursionError:
        return  # the row's validation reports it
    except msgspec.DecodeError as error:
        if "truncated" in str(error):
            message = f"The body is cut off: the last line, {number}, ends within its JSON value."
            raise InvalidInputError(message) from None
