"""Converts Arrow columns to JSON text, column by column, without Python code per row and without the GIL.

A few rows of plain values are converted row by row, because each Arrow call costs tens of microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from msgspec.json import encode

from shared.tabular.value_texts import json_texts as texts

__all__ = ["FEW_ROWS", "in_line", "objects", "texts"]

FEW_ROWS = 32


def objects(columns: Mapping[str, pa.Array], rows: int) -> pa.StringArray:
    """Returns a JSON object per row."""
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
    """Whether msgspec writes values of this type exactly as `texts` does, such as `1.0` for whole floats."""
    if pa.types.is_list(kind):
        return _is_plain(kind.value_type)
    return bool(
        pa.types.is_float64(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
    )


def in_line(rows: pa.StringArray, separator: str) -> bytes:
    """Returns all texts joined by a separator."""
    whole = pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows)
    joined: bytes = pc.binary_join(whole, separator)[0].as_buffer().to_pybytes()
    return joined


def _joined(*pieces: pa.Array | pa.Scalar) -> pa.StringArray:
    return pc.binary_join_element_wise(*pieces, "")
