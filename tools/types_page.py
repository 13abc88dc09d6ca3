"""`python -m tools.types_page > docs/types.md`: the matrix of Arrow's types, made of the code."""

from __future__ import annotations

from shared.specs import InputType
from shared.tabular.arrow_types import KEPT, TAKEN, Family, Taken

_HEAD = """# Types of columns

Which Arrow and Parquet types an input takes, and how a kept column comes back. Columns of CSV are text;
NDJSON and JSON have the types of JSON.

This page is made by `python -m tools.types_page > docs/types.md`, and a test walks every cell of it.

## Arrow type × input type

"""
_NAMES = {
    Family.NULL: "null",
    Family.BOOL: "bool",
    Family.INTEGER: "int8 … int64, uint8 … uint64",
    Family.FLOAT: "float16, float32, float64",
    Family.DECIMAL: "decimal32, decimal64, decimal128, decimal256",
    Family.STRING: "string, large_string, string_view",
    Family.BINARY: "binary, large_binary, binary_view, fixed_size_binary",
    Family.DATE: "date32, date64",
    Family.TIME: "time32, time64",
    Family.TIMESTAMP: "timestamp, any unit, with or without a zone",
    Family.DURATION: "duration, any unit",
    Family.INTERVAL: "month_day_nano_interval",
    Family.LIST: "list, large_list, fixed_size_list, list_view, large_list_view",
    Family.MAP: "map",
    Family.STRUCT: "struct",
    Family.UNION: "dense_union, sparse_union",
    Family.UUID: "arrow.uuid",
    Family.JSON: "arrow.json",
    Family.BOOL8: "arrow.bool8",
    Family.TENSOR: "arrow.fixed_shape_tensor",
    Family.OTHER: "arrow.opaque and other extensions",
}
_TENSORS = (Family.LIST, Family.TENSOR)
_MEANINGS = """
- **yes**: every value is taken.
- **if it fits**: each value is checked, and a row of which the value does not fit fails with its reason.
  `int64` takes whole numbers of 64 bits, from decimals exactly; `float32` takes what its range holds; `bool`
  takes the numbers 0 and 1; `datetime` takes what microseconds in 64 bits hold, without a zone as UTC.
- **read as text**: as a cell of CSV is read.
- **missing**: each value is missing.
- **no**: the job fails, and the error names the column and its type.

`decimal` to `float` and `float32`, and integers past 2^53, are rounded to the nearest value. NaN is a missing
value. A dictionary or run-end encoded column is taken as its values are. A tensor input takes a column of
lists, of which the values follow their own row of this table; a `fixed_shape_tensor` has to have its shape.

## Arrow type × format of results

What `id_column` and `keep_columns` bring back.

"""
_KEPT_NOTES = """
A missing value is null, in CSV an empty cell. Floating numbers that are whole are `1.0` in JSON and NDJSON,
`1` in CSV. CSV writes a timestamp with a blank instead of `T`, if it has no zone or UTC.

Arrow and Parquet have the type of the file that was sent, except: dictionaries, runs and views become their
plain values, large_string becomes string and float16 becomes float32. A struct or map that holds views, runs
or unions is JSON text everywhere. Parquet has no interval, no struct without fields and no decimal of
negative scale: those are text in it. Values of JSON and NDJSON bodies follow
[their own rules](http-api.md#submitting).
"""


def page() -> str:
    """The page, in the order of the families."""
    kinds = [f"`{kind}`" for kind in InputType]
    first = _table(["Arrow type", *kinds, "tensor"], [_taken_row(family) for family in Family])
    second = _table(
        ["Arrow type", "JSON, NDJSON and CSV", "Parquet", "Arrow"], [_kept_row(family) for family in Family]
    )
    return _HEAD + first + _MEANINGS + second + _KEPT_NOTES


def _taken_row(family: Family) -> list[str]:
    cells = TAKEN.get(family, {})
    tensor = "by its values" if family in _TENSORS else str(Taken.NO)
    return [_NAMES[family], *(str(cells.get(kind, Taken.NO)) for kind in InputType), tensor]


def _kept_row(family: Family) -> list[str]:
    kept = KEPT[family]
    return [_NAMES[family], kept.text, *("the type" if own else "text" for own in (kept.parquet, kept.arrow))]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    print(page(), end="")
