"""Casts text columns of CSV, Parquet and Arrow to an input's type.

The whole column is cast first. If that fails, each value is cast separately.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from shared.images import DESCRIPTION, from_base64
from shared.input_specs import InputType

_PATTERN = {
    InputType.FLOAT: r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$",
    InputType.INT64: r"^[+-]?\d+$",
    InputType.BOOL: r"^(?i:true|false|1|0)$",
    InputType.DATETIME: r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$",
}
_PATTERN[InputType.FLOAT32] = _PATTERN[InputType.FLOAT]
WIDE = {
    InputType.FLOAT: pa.float64(),
    InputType.FLOAT32: pa.float64(),  # its range is checked before it is narrowed
    InputType.INT64: pa.int64(),
    InputType.BOOL: pa.bool_(),
    InputType.STRING: pa.string(),
    InputType.DATETIME: pa.timestamp("us", tz="UTC"),
    InputType.IMAGE: pa.binary(),
}
"""The type in which an input's values are checked."""
DESCRIPTIONS = {
    InputType.FLOAT: "a number",
    InputType.FLOAT32: "a number",
    InputType.INT64: "a 64-bit integer",
    InputType.BOOL: "true, false, 1 or 0",
    InputType.DATETIME: "a date and time as in RFC 3339",
    InputType.IMAGE: DESCRIPTION,
}


def from_text(kind: InputType, column: pa.Array, *, decimal: str = ".") -> tuple[pa.Array, pa.Array]:
    """Returns the values, null if missing or invalid, and a mask of the invalid values.

    Strings are unchanged. For other types, a text of blanks is a missing value.
    """
    if kind is InputType.STRING:
        return column, _none_of(column)
    if kind is InputType.IMAGE:
        return _images(column)
    texts = _normal(kind, column, decimal)
    values = _at_once(kind, texts)
    return _one_by_one(kind, texts) if values is None else (values, _none_of(values))


def _images(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    texts = [text.strip() if text is not None else "" for text in column.to_pylist()]
    found = pa.array([from_base64(text) if text else None for text in texts], pa.binary())
    return found, pc.and_(pa.array([bool(text) for text in texts]), pc.is_null(found))


def _normal(kind: InputType, texts: pa.Array, decimal: str) -> pa.Array:
    """Returns the texts in the form of Arrow's cast: decimal point; UTC time in microseconds."""
    if kind in (InputType.FLOAT, InputType.FLOAT32) and decimal == ",":
        # a point would be read as the decimal separator; a thousands separator is rejected
        return pc.replace_substring(pc.replace_substring(texts, ".", "?"), ",", ".")
    if kind is InputType.DATETIME:
        texts = pc.utf8_upper(pc.utf8_trim_whitespace(texts))
        texts = pc.replace_substring_regex(texts, r"(\.\d{6})\d+", r"\1")
        zoned = pc.match_substring_regex(texts, r"(Z|[+-]\d\d:?\d\d)$")
        return pc.if_else(zoned, texts, pc.binary_join_element_wise(texts, "Z", ""))
    return texts


def _at_once(kind: InputType, texts: pa.Array) -> pa.Array | None:
    """Casts the whole column, or returns None if values must be checked separately."""
    if kind is InputType.INT64 and _any(pc.match_substring(texts, "x")):
        return None  # the cast would accept hexadecimal numbers
    if kind is InputType.DATETIME and not _all(pc.match_substring_regex(texts, _PATTERN[kind])):
        return None  # the cast would accept dates without a time
    try:
        return pc.cast(texts, WIDE[kind])
    except pa.ArrowInvalid:
        return None


def _one_by_one(kind: InputType, texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    texts = pc.utf8_trim_whitespace(texts)
    given = pc.fill_null(pc.not_equal(texts, "Z" if kind is InputType.DATETIME else ""), False)
    readable = pc.and_(given, pc.match_substring_regex(texts, _PATTERN[kind]))
    texts = pc.replace_substring_regex(texts, r"^\+", "")
    found = pa.array([_one(kind, text) for text in pc.if_else(readable, texts, None).to_pylist()], WIDE[kind])
    return found, pc.and_(given, pc.is_null(found))


def _one(kind: InputType, text: str | None) -> object:
    """Casts a text; None if it is well-formed but not a value, such as a 13th month or 2^63."""
    if text is None:
        return None
    try:
        return pc.cast(pa.array([text], pa.string()), WIDE[kind])[0].as_py()
    except pa.ArrowInvalid:
        return None


def _any(condition: pa.Array) -> bool:
    return bool(pc.any(condition, min_count=0).as_py())


def _all(condition: pa.Array) -> bool:
    return bool(pc.all(condition, min_count=0).as_py())


def _none_of(array: pa.Array) -> pa.Array:
    return pa.repeat(False, len(array))
