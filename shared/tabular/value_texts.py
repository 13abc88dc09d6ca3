"""Text of Arrow values of every type, as JSON and as CSV cells."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from shared.tabular.arrow_types import Family, family_of
from shared.tabular.plain_values import dense, plain

encode = msgspec.json.encode
_SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_S = 86_400
_BARE = (Family.NULL, Family.BOOL, Family.INTEGER, Family.FLOAT, Family.DECIMAL, Family.BOOL8)
"""Families that JSON writes without quotes."""


def json_texts(column: pa.Array) -> pa.StringArray:
    """Returns each value as JSON; missing and non-finite values are `null`."""
    column = dense(column)
    family = family_of(column.type)
    if family in _NESTED:
        found = _NESTED[family](column)
    elif isinstance(column, pa.ExtensionArray) and family in (Family.TENSOR, Family.OTHER):
        return json_texts(column.storage)
    elif family is Family.FLOAT:
        found = _floats(column)
    elif family in _BARE:
        found = plain(column).cast(pa.string())
    elif family in (Family.STRING, Family.JSON, Family.BINARY):
        found = _quoted(value_texts(column))
    else:
        found = _joined(pa.scalar('"'), value_texts(column), pa.scalar('"'))
    return pc.fill_null(found, "null")


def value_texts(column: pa.Array) -> pa.StringArray:
    """Returns each value as the text of a cell; null if it is missing."""
    column = dense(column)
    family = family_of(column.type)
    if isinstance(column, pa.ExtensionArray):
        return value_texts(plain(column))
    if family in _NESTED:
        return pc.if_else(column.is_valid(), json_texts(column), pa.scalar(None, pa.string()))
    return _LEAVES.get(family, _as_arrow_writes)(column)


def _as_arrow_writes(column: pa.Array) -> pa.StringArray:
    return column.cast(pa.string())


def _floats(column: pa.Array) -> pa.StringArray:
    """Writes whole floats as `1.0`, like `/predict`: typed JSON readers treat `1` as another type."""
    column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    found = column.cast(pa.string())
    if not pc.any(pc.equal(column, pc.floor(column)), min_count=0).as_py():
        return found
    bare = pc.match_substring_regex(found, r"^-?\d+$")
    return pc.if_else(bare, pc.binary_join_element_wise(found, ".0", ""), found)


def _quoted(column: pa.Array) -> pa.StringArray:
    """Escapes each distinct text once, because columns often contain few labels."""
    coded = column.dictionary_encode()
    escaped = pa.array([encode(text).decode() for text in coded.dictionary.to_pylist()], pa.string())
    return escaped.take(coded.indices)


def _base64(column: pa.Array) -> pa.StringArray:
    found = [None if value is None else base64.b64encode(value).decode() for value in column.to_pylist()]
    return pa.array(found, pa.string())


def _moments(column: pa.Array) -> pa.StringArray:
    """Writes times in RFC 3339. A time in an unknown zone is written in UTC."""
    try:
        found = column.cast(pa.string())
    except pa.ArrowInvalid:
        found = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.string())
    found = pc.replace_substring(found, " ", "T", max_replacements=1)
    return pc.replace_substring_regex(found, r"([+-]\d\d)(\d\d)$", r"\1:\2")


def _durations(column: pa.Array) -> pa.StringArray:
    parts = _SECONDS[column.type.unit]
    counts = column.cast(pa.int64()).to_pylist()
    return pa.array([None if count is None else _duration(count, parts) for count in counts], pa.string())


def _duration(count: int, parts: int) -> str:
    seconds, fraction = divmod(abs(count), parts)
    days, seconds = divmod(seconds, _DAY_S)
    time = _seconds(seconds, fraction, parts)
    written = (f"{days}D" if days else "") + (f"T{time}S" if time else "")
    return ("-" if count < 0 else "") + "P" + (written or "0D")


def _seconds(seconds: int, fraction: int, parts: int) -> str:
    """Returns seconds such as `3.5`; empty if they are 0."""
    digits = str(fraction).rjust(len(str(parts)) - 1, "0").rstrip("0") if fraction else ""
    return f"{seconds}.{digits}" if digits else str(seconds or "")


def _intervals(column: pa.Array) -> pa.StringArray:
    return pa.array([None if v is None else _interval(*v) for v in column.to_pylist()], pa.string())


def _interval(months: int, days: int, nanoseconds: int) -> str:
    sign = "-" if nanoseconds < 0 else ""
    time = _seconds(*divmod(abs(nanoseconds), 10**9), 10**9)
    written = (f"{months}M" if months else "") + (f"{days}D" if days else "")
    return "P" + (written + (f"T{sign}{time}S" if time else "") or "0D")


def _lists(column: pa.Array) -> pa.StringArray:
    inner = pa.ListArray.from_arrays(column.offsets, json_texts(column.values))
    whole = _joined(pa.scalar("["), pc.binary_join(inner, ","), pa.scalar("]"))
    return pc.if_else(column.is_valid(), whole, pa.scalar(None, pa.string()))


def _maps(column: pa.MapArray) -> pa.StringArray:
    pairs = _joined(
        pa.scalar("["), json_texts(column.keys), pa.scalar(","), json_texts(column.items), pa.scalar("]")
    )
    inner = pa.ListArray.from_arrays(column.offsets, pairs)
    whole = _joined(pa.scalar("["), pc.binary_join(inner, ","), pa.scalar("]"))
    return pc.if_else(column.is_valid(), whole, pa.scalar(None, pa.string()))


def _structs(column: pa.StructArray) -> pa.StringArray:
    pieces: list[pa.Array | pa.Scalar] = []
    for place, values in enumerate(column.flatten()):
        opening = ("," if pieces else "{") + encode(column.type.field(place).name).decode() + ":"
        pieces += [pa.scalar(opening), json_texts(values)]
    if not pieces:
        return pc.if_else(column.is_valid(), pa.scalar("{}"), pa.scalar(None, pa.string()))
    whole = _joined(*pieces, pa.scalar("}"))
    return pc.if_else(column.is_valid(), whole, pa.scalar(None, pa.string()))


def _unions(column: pa.UnionArray) -> pa.StringArray:
    """Writes each value from the child array that contains it."""
    column = pa.concat_arrays([column, column.slice(0, 0)])  # a slice's children are not sliced
    codes = column.type_codes.to_pylist()
    texts = [json_texts(column.field(place)).to_pylist() for place in range(column.type.num_fields)]
    places = column.offsets.to_pylist() if column.type.mode == "dense" else range(len(column))
    by_code = dict(zip(column.type.type_codes, texts, strict=True))
    return pa.array([by_code[code][place] for code, place in zip(codes, places, strict=True)], pa.string())


def _joined(*pieces: pa.Array | pa.Scalar) -> pa.StringArray:
    return pc.binary_join_element_wise(*pieces, "")


_NESTED: dict[Family, Callable[[pa.Array], pa.StringArray]] = {
    Family.LIST: _lists,
    Family.MAP: _maps,
    Family.STRUCT: _structs,
    Family.UNION: _unions,
}
_LEAVES: dict[Family, Callable[[pa.Array], pa.StringArray]] = {
    Family.BINARY: _base64,
    Family.TIMESTAMP: _moments,
    Family.DURATION: _durations,
    Family.INTERVAL: _intervals,
}
