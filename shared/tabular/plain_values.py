"""Conversion of columns to plain types: no dictionaries, run-end encoding, views or extension types."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shared.tabular.arrow_types import Family, family_of, is_storable

_SLOT_BYTES = 16


def plain(column: pa.Array) -> pa.Array:
    """Returns the values in a plain type: `uuid` as text, `bool8` as bool, other extensions as stored."""
    while (step := _step(column)) is not column:
        column = step
    return column


def dense(column: pa.Array) -> pa.Array:
    """Returns the values without dictionaries, runs and views; extension types are unchanged."""
    while not isinstance(column, pa.ExtensionArray) and (step := _step(column)) is not column:
        column = step
    return column


def storable(column: pa.Array) -> pa.Array:
    """Returns the values in a storable type: dictionaries, runs and views become their values."""
    while _is_encoded(column.type):
        column = _step(column)
    return column


def plain_lists(column: pa.Array) -> pa.Array:
    """Returns lists of plain values, so that Arrow can select rows."""
    column = plain(column)
    if not pa.types.is_list(column.type) or is_storable(column.type):
        return column
    offsets = pa.array(column.offsets.to_numpy())
    mask = column.is_null() if column.null_count else None
    return pa.ListArray.from_arrays(offsets, plain_lists(column.values), mask=mask)


def _is_encoded(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_dictionary(kind)
        or pa.types.is_run_end_encoded(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_float16(kind)
    )


def _step(column: pa.Array) -> pa.Array:
    """Removes a layer of encoding; returns the column itself if it is plain."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _stored(column)
    if pa.types.is_dictionary(kind):
        return column.dictionary_decode()
    if pa.types.is_run_end_encoded(kind):
        return pc.run_end_decode(column)
    return _listed(column) if pa.types.is_nested(kind) else _narrowed(column)


def _narrowed(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return _of_views(column)
    if pa.types.is_large_string(kind):
        return pc.cast(column, pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pc.cast(column, pa.binary())
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return pc.cast(column, pa.decimal128(kind.precision, kind.scale))
    return pc.cast(column, pa.float32()) if pa.types.is_float16(kind) else column


def _listed(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return _list_of_views(column)
    if pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pc.cast(column, pa.list_(kind.value_field))
    return column


def _stored(column: pa.ExtensionArray) -> pa.Array:
    match family_of(column.type):
        case Family.UUID:
            return uuid_texts(column.storage)
        case Family.BOOL8:
            return pc.not_equal(column.storage, 0)
        case _:
            return column.storage


def uuid_texts(column: pa.Array) -> pa.StringArray:
    """Formats values of 16 bytes as in RFC 9562."""
    found = [None if value is None else value.hex() for value in column.to_pylist()]
    shown = [h and f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" for h in found]
    return pa.array(shown, pa.string())


def _of_views(column: pa.Array) -> pa.Array:
    """Clears the views under nulls, because Arrow's cast follows them, even outside of the buffer."""
    if column.null_count:
        validity, views, *texts = column.buffers()
        slots = np.frombuffer(views, np.uint64).reshape(-1, 2).copy()
        nulls = column.is_null().to_numpy(zero_copy_only=False)
        slots[column.offset : column.offset + len(column)][nulls] = 0
        buffers = [validity, pa.py_buffer(slots), *texts]
        column = pa.Array.from_buffers(column.type, len(column), buffers, offset=column.offset)
    return pc.cast(column, pa.string() if pa.types.is_string_view(column.type) else pa.binary())


def _list_of_views(column: pa.Array) -> pa.ListArray:
    """Converts list views manually, because Arrow's cast loses the values after a null."""
    valid = column.is_valid()
    mask = valid.to_numpy(zero_copy_only=False)
    sizes = np.where(mask, column.sizes.to_numpy(zero_copy_only=False), 0).astype(np.int64)
    begins = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)[: len(sizes)]
    ends = np.cumsum(sizes)
    within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - sizes, sizes)
    values = pc.take(dense(column.values), pa.array(np.repeat(begins, sizes) + within))
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, values, mask=pa.array(~mask) if not mask.all() else None)
