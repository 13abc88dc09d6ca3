"""Arrow columns as JSON texts, column by column: no Python for each row, and the GIL is free meanwhile.

A few rows of plain values are faster row by row: each of Arrow's steps costs tens of microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from api.online.answers import encode

FEW_ROWS = 32

_encode_any = msgspec.json.Encoder(enc_hook=str).encode


def objects(columns: Mapping[str, pa.Array], rows: int) -> pa.StringArray:
    """One JSON object per row."""
    if not columns:
        return pa.array(["{}"] * rows, pa.string())
    if rows <= FEW_ROWS and all(_is_plain(column.type) for column in columns.values()):
        values = zip(*(column.to_pylist() for column in columns.values()), strict=True)
        whole = (dict(zip(columns, row, strict=True)) for row in values)
        return pa.array([encode(row).decode() for row in whole], pa.string())
    pieces: list[pa.Array | pa.Scalar] = []
    for name, column in columns.items():
        opening = ("," if pieces else "{") + encode(name).decode() + ":"
        pieces += [pa.scalar(opening), texts(column)]
    return _joined(*pieces, pa.scalar("}"))


def _is_plain(kind: pa.DataType) -> bool:
    """Whether msgspec writes its values as `texts` does: to the last bit, and `1.0` for a whole one."""
    if pa.types.is_list(kind):
        return _is_plain(kind.value_type)
    return bool(
        pa.types.is_float64(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
    )


def in_line(rows: pa.StringArray, separator: str) -> bytes:
    """All texts in one, with a separator between them."""
    whole = pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows)
    joined: bytes = pc.binary_join(whole, separator)[0].as_buffer().to_pybytes()
    return joined


def texts(column: pa.Array) -> pa.StringArray:
    """Each value as JSON; what is missing, and what is not finite, is `null`."""
    kind = column.type
    if pa.types.is_floating(kind):
        found = _floats(pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind)))
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        found = column.cast(pa.string())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        found = _quoted(column)
    elif pa.types.is_timestamp(kind):
        found = _in_quotes(pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1))
    elif pa.types.is_date(kind) or pa.types.is_time(kind):
        found = _in_quotes(column.cast(pa.string()))
    elif pa.types.is_list(kind):
        found = _lists(column)
    else:
        found = pa.array([_encode_any(value).decode() for value in column.to_pylist()], pa.string())
    return pc.fill_null(found, "null")


def _floats(column: pa.Array) -> pa.StringArray:
    """A whole one as `1.0`, as `/predict` has it: typed readers of JSON take `1` for another type."""
    found = column.cast(pa.string())
    if not pc.any(pc.equal(column, pc.floor(column)), min_count=0).as_py():
        return found
    bare = pc.match_substring_regex(found, r"^-?\d+$")
    return pc.if_else(bare, pc.binary_join_element_wise(found, ".0", ""), found)


def _quoted(column: pa.Array) -> pa.StringArray:
    """Each different text is escaped once: labels are few."""
    coded = column.dictionary_encode()
    escaped = pa.array([encode(text).decode() for text in coded.dictionary.to_pylist()], pa.string())
    return escaped.take(coded.indices)


def _in_quotes(column: pa.StringArray) -> pa.StringArray:
    return _joined(pa.scalar('"'), column, pa.scalar('"'))


def _lists(column: pa.ListArray) -> pa.StringArray:
    inner = pa.ListArray.from_arrays(column.offsets, texts(column.values))
    whole = _joined(pa.scalar("["), pc.binary_join(inner, ","), pa.scalar("]"))
    return pc.if_else(column.is_valid(), whole, pa.scalar(None, pa.string()))


def _joined(*pieces: pa.Array | pa.Scalar) -> pa.StringArray:
    return pc.binary_join_element_wise(*pieces, "")
