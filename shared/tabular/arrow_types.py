"""The conversions of Arrow types: to model inputs, and from kept columns to result formats.

The code decides by the tables `TAKEN` and `KEPT`. `python -m tools.types_page` renders them for the
documentation, and a test covers every cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from shared.input_specs import InputType


class Family(StrEnum):
    """Types that are treated alike. A dictionary or run-end encoded column is treated like its values."""

    NULL = "null"
    BOOL = "bool"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    STRING = "string"
    BINARY = "binary"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    INTERVAL = "interval"
    LIST = "list"
    MAP = "map"
    STRUCT = "struct"
    UNION = "union"
    UUID = "uuid"
    JSON = "json"
    BOOL8 = "bool8"
    TENSOR = "fixed_shape_tensor"
    OTHER = "other extensions"


_BY_ID = {
    pa.lib.Type_NA: Family.NULL,
    pa.lib.Type_BOOL: Family.BOOL,
    pa.lib.Type_MAP: Family.MAP,
    pa.lib.Type_STRUCT: Family.STRUCT,
    pa.lib.Type_DURATION: Family.DURATION,
    pa.lib.Type_TIMESTAMP: Family.TIMESTAMP,
} | {
    getattr(pa.lib, f"Type_{name}"): family
    for family, names in {
        Family.INTEGER: "INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64",
        Family.FLOAT: "HALF_FLOAT FLOAT DOUBLE",
        Family.DECIMAL: "DECIMAL32 DECIMAL64 DECIMAL128 DECIMAL256",
        Family.STRING: "STRING LARGE_STRING STRING_VIEW",
        Family.BINARY: "BINARY LARGE_BINARY BINARY_VIEW FIXED_SIZE_BINARY",
        Family.DATE: "DATE32 DATE64",
        Family.TIME: "TIME32 TIME64",
        Family.INTERVAL: "INTERVAL_MONTHS INTERVAL_DAY_TIME INTERVAL_MONTH_DAY_NANO",
        Family.LIST: "LIST LARGE_LIST FIXED_SIZE_LIST LIST_VIEW LARGE_LIST_VIEW",
        Family.UNION: "DENSE_UNION SPARSE_UNION",
    }.items()
    for name in names.split()
}
_EXTENSIONS = {
    "arrow.uuid": Family.UUID,
    "arrow.json": Family.JSON,
    "arrow.bool8": Family.BOOL8,
    "arrow.fixed_shape_tensor": Family.TENSOR,
}


def family_of(kind: pa.DataType) -> Family:
    if isinstance(kind, pa.BaseExtensionType):
        return _EXTENSIONS.get(kind.extension_name, Family.OTHER)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return family_of(kind.value_type)
    return _BY_ID[kind.id]


class Taken(StrEnum):
    """Whether an input accepts the values of a type."""

    YES = "yes"
    CHECKED = "checked"
    READ = "as text"
    MISSING = "missing"
    NO = "no"


_NUMBERS = {
    InputType.FLOAT: Taken.YES,
    InputType.FLOAT32: Taken.CHECKED,
    InputType.INT64: Taken.CHECKED,
    InputType.BOOL: Taken.CHECKED,
}
TAKEN: dict[Family, dict[InputType, Taken]] = {
    Family.NULL: dict.fromkeys(InputType, Taken.MISSING),
    Family.BOOL: {InputType.BOOL: Taken.YES},
    Family.INTEGER: _NUMBERS,
    Family.FLOAT: _NUMBERS,
    Family.DECIMAL: _NUMBERS,
    Family.STRING: dict.fromkeys(InputType, Taken.READ) | {InputType.STRING: Taken.YES},
    Family.BINARY: {InputType.IMAGE: Taken.CHECKED},
    Family.TIMESTAMP: {InputType.DATETIME: Taken.CHECKED},
    Family.UUID: {InputType.STRING: Taken.YES},
    Family.JSON: {InputType.STRING: Taken.YES},
    Family.BOOL8: {InputType.BOOL: Taken.YES},
}
"""All other combinations are rejected with the column's name and type."""


def taken(kind: pa.DataType, given: InputType) -> Taken:
    return TAKEN.get(family_of(kind), {}).get(given, Taken.NO)


@dataclass(frozen=True)
class Kept:
    """How a kept value is written in results."""

    text: str
    """Its form in JSON, NDJSON and CSV."""
    parquet: bool = True
    """Whether Parquet supports the type; otherwise the column is text there, too."""
    arrow: bool = True
    """Whether a chunk can store the type; otherwise the column is text in every format."""


KEPT: dict[Family, Kept] = {
    Family.NULL: Kept("null; in CSV an empty cell"),
    Family.BOOL: Kept("`true`, `false`"),
    Family.INTEGER: Kept("a number"),
    Family.FLOAT: Kept("a number; NaN and infinity are null in JSON"),
    Family.DECIMAL: Kept("a number with all its digits"),
    Family.STRING: Kept("as it is"),
    Family.BINARY: Kept("Base64 (RFC 4648)"),
    Family.DATE: Kept("`2026-03-02`"),
    Family.TIME: Kept("`06:30:00.000001`"),
    Family.TIMESTAMP: Kept("RFC 3339 in its zone; UTC if the zone is not known"),
    Family.DURATION: Kept("ISO 8601: `P1DT3.5S`"),
    Family.INTERVAL: Kept("ISO 8601: `P1M2DT3.5S`", parquet=False),
    Family.LIST: Kept("a JSON list"),
    Family.MAP: Kept("a JSON list of `[key, value]`"),
    Family.STRUCT: Kept("a JSON object"),
    Family.UNION: Kept("its value as JSON", parquet=False, arrow=False),
    Family.UUID: Kept("`01234567-89ab-cdef-0123-456789abcdef`"),
    Family.JSON: Kept("as it is, a text"),
    Family.BOOL8: Kept("`true`, `false`"),
    Family.TENSOR: Kept("a JSON list of all its values"),
    Family.OTHER: Kept("as the type that it is stored as"),
}


def children_of(kind: pa.DataType) -> list[pa.DataType]:
    """Returns the types nested in a type."""
    if isinstance(kind, pa.BaseExtensionType):
        return [kind.storage_type]
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return [kind.value_type]
    return [kind.field(place).type for place in range(kind.num_fields)]


def parquet_holds(kind: pa.DataType) -> bool:
    """Whether a Parquet file can contain a column of this type."""
    if not KEPT[family_of(kind)].parquet or pa.types.is_run_end_encoded(kind):
        return False
    if pa.types.is_decimal(kind) and kind.scale < 0:
        return False
    if pa.types.is_struct(kind) and not kind.num_fields:
        return False
    return all(map(parquet_holds, children_of(kind)))


def is_storable(kind: pa.DataType) -> bool:
    """Whether Arrow can select rows of a column of this type. Other columns are kept as text."""
    unsupported = (
        pa.types.is_string_view(kind) or pa.types.is_binary_view(kind) or pa.types.is_run_end_encoded(kind)
    )
    return KEPT[family_of(kind)].arrow and not unsupported and all(map(is_storable, children_of(kind)))
