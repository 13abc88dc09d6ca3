"""Sequence inputs from a table: a column of lists of different lengths; in CSV, a JSON list per cell."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shared.errors import InvalidInputError
from shared.input_specs import InputSpec
from shared.tabular.arrow_types import Family, family_of
from shared.tabular.plain_values import plain, plain_lists
from shared.tabular.tensor_cells import Check, tensor

_LONGEST_ECHO = 80


def sequence(field: InputSpec, column: pa.Array, check: Check) -> tuple[pa.Array, pa.Array]:
    """Returns a flat list of all values per row, null for invalid rows, and the errors of invalid rows.

    Raises InvalidInputError if the column holds neither lists nor texts.
    """
    unread = pa.nulls(len(column), pa.string())
    if family_of(column.type) is Family.STRING:
        column, unread = _of_texts(field, plain(column))
    if family_of(column.type) is not Family.LIST:
        raise InvalidInputError(
            f"column {field.name!r} is {str(column.type)[:_LONGEST_ECHO]}, but {field.name} is a sequence: "
            "a list per row."
        )
    column = plain_lists(plain(column))
    lengths = pc.list_value_length(column)
    wrong = _wrong_length(field, lengths, unread)
    kept = pc.is_null(wrong)
    steps = column.filter(kept)
    values, reasons = _steps(field, steps.flatten(), check)
    counts = pc.list_value_length(steps).to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(counts)])
    found = pa.ListArray.from_arrays(pa.array(ends * field.size, pa.int32()), values)
    failed = pa.array(_first_of_rows(reasons, ends), pa.string())
    places = pa.array(np.where(kept, np.cumsum(kept) - 1, 0), mask=~np.asarray(kept))
    return pc.take(found, places), pc.coalesce(unread, wrong, pc.take(failed, places))


def _wrong_length(field: InputSpec, lengths: pa.Array, unread: pa.Array) -> pa.Array:
    """The errors of missing sequences and of sequences that are too short or too long."""
    outside = pc.or_(pc.less(lengths, 1), pc.greater(lengths, field.max_length))
    shown = pc.binary_join_element_wise(
        f"{field.name}: has ",
        pc.cast(lengths, pa.string()),
        f" steps; 1 to {field.max_length} are accepted",
        "",
    )
    missing = pc.coalesce(unread, pa.scalar(f"{field.name}: is missing"))
    return pc.if_else(pc.is_null(lengths), missing, pc.if_else(outside, shown, pa.scalar(None, pa.string())))


def _steps(field: InputSpec, steps: pa.Array, check: Check) -> tuple[pa.Array, pa.Array]:
    """The values of all steps, and the error of each step."""
    if len(field.shape) == 1:
        values, reasons = check(field, plain(steps))
        return pc.fill_null(values, 0), reasons
    one_step = field.model_copy(update={"shape": field.shape[1:], "pad": None})
    values, reasons = tensor(one_step, [steps], check)
    return _filled(values, field.size), reasons


def _filled(lists: pa.Array, size: int) -> pa.Array:
    """All values of fixed-size lists; those of invalid steps are zero."""
    flat = lists.values if not lists.null_count else pc.list_flatten(_without_nulls(lists, size))
    return pc.fill_null(flat, 0)


def _without_nulls(lists: pa.Array, size: int) -> pa.Array:
    zeros = pa.scalar([0] * size, lists.type)
    return pc.coalesce(lists, zeros)


def _first_of_rows(reasons: pa.Array, ends: NDArray[np.int64]) -> list[str | None]:
    """The first error among the steps of each row."""
    if reasons.null_count == len(reasons):
        return [None] * (len(ends) - 1)
    texts = reasons.to_pylist()
    return [next((text for text in texts[start:end] if text), None) for start, end in pairwise(ends)]


def _of_texts(field: InputSpec, texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The lists of cells that hold a JSON list, and the errors of other cells."""
    found, reasons = [], []
    for text in texts.to_pylist():
        value = _list_of(text) if text and text.strip() else None
        is_wrong = value is None and bool(text and text.strip())
        found.append(value)
        reasons.append(f"{field.name}: {text[:_LONGEST_ECHO]!r} is not a JSON list" if is_wrong else None)
    nested = pa.list_(pa.float64())
    for _ in field.shape[1:]:
        nested = pa.list_(nested)
    return _lists(found, nested, reasons, field)


def _list_of(text: str) -> list[object] | None:
    try:
        return msgspec.json.decode(text, type=list)
    except (msgspec.DecodeError, RecursionError):
        return None


def _lists(
    found: list[list[object] | None], kind: pa.DataType, reasons: list[str | None], field: InputSpec
) -> tuple[pa.Array, pa.Array]:
    try:
        return pa.array(found, kind), pa.array(reasons, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        columns = []
        for place, value in enumerate(found):
            try:
                columns.append(pa.array([value], kind))
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                reasons[place] = f"{field.name}: is not of shape {list(field.shape)}"
                columns.append(pa.nulls(1, kind))
        return pa.concat_arrays(columns), pa.array(reasons, pa.string())
