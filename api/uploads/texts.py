"""Text → an input's type, a column at a time: what CSV holds, and text columns of Parquet and Arrow.

A cast of the whole column is tried first; only where it fails are the values looked at that cannot be read.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from shared.specs import InputType

_PATTERN = {
    InputType.FLOAT: r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$",
    InputType.INT64: r"^[+-]?\d+$",
    InputType.BOOL: r"^(?i:true|false|1|0)$",
    InputType.DATETIME: r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$",
}
_PATTERN[InputType.FLOAT32] = _PATTERN[InputType.FLOAT]
_MICROSECONDS = pa.timestamp("us", tz="UTC")
_TARGET = {
    InputType.FLOAT: pa.float64(),
    InputType.FLOAT32: pa.float64(),  # its range is checked before it is made narrower
    InputType.INT64: pa.int64(),
    InputType.BOOL: pa.bool_(),
    InputType.DATETIME: _MICROSECONDS,
}
WHAT = {
    InputType.FLOAT: "a number",
    InputType.FLOAT32: "a number",
    InputType.INT64: "a whole number of 64 bits",
    InputType.BOOL: "true, false, 1 or 0",
    InputType.DATETIME: "a date and time as in RFC 3339",
}


def from_text(kind: InputType, column: pa.Array, *, decimal: str = ".") -> tuple[pa.Array, pa.Array]:
    """→ the values, null where missing or not readable; and which are not readable.

    A text of spaces alone is missing; strings are taken as they are.
    """
    if kind is InputType.STRING:
        texts = _empty_is_null(column)
        return texts, _none_of(texts)
    texts = _normal(kind, _empty_is_null(pc.utf8_trim_whitespace(column)), decimal)
    readable = pc.fill_null(pc.match_substring_regex(texts, _PATTERN[kind]), True)
    if pc.all(readable, min_count=0).as_py():
        try:
            return _cast(kind, texts), _none_of(texts)
        except pa.ArrowInvalid:
            pass  # written well, and yet no value: a 13th month, 2^63
    values = [_one(kind, text) for text in pc.if_else(readable, texts, None).to_pylist()]
    found = pa.array(values, _TARGET[kind])
    return found, pc.and_(pc.is_valid(texts), pc.is_null(found))


def _normal(kind: InputType, texts: pa.Array, decimal: str) -> pa.Array:
    """As the cast reads it: a decimal point, no plus sign, a moment of UTC to the microsecond."""
    if kind in (InputType.FLOAT, InputType.FLOAT32) and decimal == ",":
        # a point would be taken for the decimals', and a thousands separator is refused
        texts = pc.replace_substring(pc.replace_substring(texts, ".", "?"), ",", ".")
    if kind is InputType.DATETIME:
        texts = pc.utf8_upper(texts)
        texts = pc.replace_substring_regex(texts, r"(\.\d{6})\d+", r"\1")
        zoned = pc.match_substring_regex(texts, r"(Z|[+-]\d\d:?\d\d)$")
        return pc.if_else(zoned, texts, pc.binary_join_element_wise(texts, "Z", ""))
    return pc.replace_substring_regex(texts, r"^\+", "") if kind is not InputType.BOOL else texts


def _cast(kind: InputType, texts: pa.Array) -> pa.Array:
    return pc.cast(texts, _TARGET[kind])


def _one(kind: InputType, text: str | None) -> object:
    if text is None:
        return None
    try:
        return _cast(kind, pa.array([text], pa.string()))[0].as_py()
    except pa.ArrowInvalid:
        return None


def _empty_is_null(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _none_of(array: pa.Array) -> pa.Array:
    return pc.and_(pc.is_valid(array), pa.scalar(False))
