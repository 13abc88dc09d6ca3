"""`python -m tools.types_page > docs/types.md`: generates the matrix of Arrow types from the code."""

from __future__ import annotations

from shared.input_specs import InputType
from shared.tabular.arrow_types import KEPT, TAKEN, Family, Taken

_HEAD = """# Types of columns

The Arrow and Parquet types that each input accepts, and the type of a kept column in the results. Columns of
CSV are text; NDJSON and JSON have the types of JSON.

`python -m tools.types_page > docs/types.md` generates this page, and a test checks every cell.

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
- **yes**: every value is accepted.
- **if it fits**: each value is checked, and a row with a value that does not fit fails with the reason.
  `int64` accepts whole numbers of 64 bits, from decimals exactly; `float32` accepts values in its range;
  `bool` accepts the numbers 0 and 1; `datetime` accepts values that fit into microseconds in 64 bits, UTC
  if without a zone; `image` accepts the bytes of a JPEG or PNG file.
- **read as text**: read like a cell of CSV; an `image` is Base64.
- **missing**: each value is missing.
- **no**: the job fails, and the error names the column and its type.

`decimal` to `float` and `float32`, and integers past 2^53, are rounded to the nearest value. NaN is a missing
value. A dictionary or run-end encoded column is treated like its values. A tensor input accepts a column of
lists, whose values follow their own row of this table; a `fixed_shape_tensor` must have the input's shape.

## Arrow type × format of results

The type of columns that `id_column` and `keep_columns` copy to the results.

"""
_KEPT_NOTES = """
A missing value is null, in CSV an empty cell. A whole floating-point number is `1.0` in JSON and NDJSON, `1`
in CSV. CSV writes a timestamp without a zone or in UTC with a blank instead of `T`.

Arrow and Parquet keep the type of the uploaded file, except: dictionaries, runs and views become their
plain values, large_string becomes string and float16 becomes float32. A struct or map that contains views,
runs or unions is JSON text in every format. Parquet has no interval, no struct without fields and no decimal
of negative scale; these become text. Values of JSON and NDJSON bodies follow
[their own rules](http-api.md#submitting).
"""


def page() -> str:
    """Returns the page, in the order of the families."""
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
