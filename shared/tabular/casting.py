"""Casts a table's columns to validated model inputs, column by column: types first, then the spec's limits.

The result of each input is its values and the errors of its invalid rows; a row's errors are joined.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from shared.arrow_tables import input_schema
from shared.errors import InvalidInputError
from shared.images import ImageOptions
from shared.input_specs import InputSpec, InputType
from shared.specs import ModelSpec
from shared.tabular.arrow_types import Taken, is_storable, taken
from shared.tabular.column_matching import ColumnMatching
from shared.tabular.plain_values import plain, plain_lists, storable
from shared.tabular.rows import Rows
from shared.tabular.sequence_cells import sequence
from shared.tabular.tensor_cells import tensor
from shared.tabular.text_cells import DESCRIPTIONS, WIDE, from_text
from shared.tabular.value_texts import value_texts

_FLOAT32_MOST = 3.4028234663852886e38
_LONGEST_ECHO = 80


@dataclass(frozen=True)
class _Cast:
    """A column during casting: its values, and error texts for invalid rows."""

    field: InputSpec
    values: pa.Array
    reasons: tuple[pa.Array, ...] = ()

    def refuse(self, wrong: pa.Array, reason: str, given: pa.Array | None = None) -> _Cast:
        """Marks the rows of the mask `wrong` as invalid for this reason; their values become null."""
        wrong = pc.fill_null(wrong, False)
        if not pc.any(wrong, min_count=0).as_py():
            return self
        text = f"{self.field.name}: {reason}"
        if given is not None:
            shown = pc.utf8_slice_codeunits(_as_text(given), 0, _LONGEST_ECHO)
            text = pc.binary_join_element_wise(f"{self.field.name}: '", shown, f"' {reason}", "")
        reasons = pc.if_else(wrong, text, pa.scalar(None, pa.string()))
        return _Cast(self.field, pc.if_else(wrong, None, self.values), (*self.reasons, reasons))


class Caster:
    """Casts the batches of a table."""

    def __init__(self, spec: ModelSpec, layout: ColumnMatching, *, decimal: str = ".") -> None:
        self._spec = spec
        self._layout = layout
        self._decimal = decimal
        self._types = [field.type for field in input_schema(spec)]
        self._first_columns = {
            field.name: names[0] for field, names in zip(spec.inputs, layout.inputs, strict=True)
        }

    def rows(self, batch: pa.RecordBatch) -> Rows:
        """Raises InvalidInputError if a column's type cannot be converted to its input."""
        columns = {name: batch.column(name) for name in self._layout.wanted}
        fields = zip(self._spec.inputs, self._layout.inputs, self._types, strict=True)
        casts = [
            self._cast(field, [columns[name] for name in names], final) for field, names, final in fields
        ]
        reasons = [reason for cast in casts for reason in cast.reasons]
        kept = [kept_values(columns[name]) for name in self._layout.kept]
        return Rows([cast.values for cast in casts], joined(reasons, batch.num_rows), kept)

    def _cast(self, field: InputSpec, columns: Sequence[pa.Array], final: pa.DataType) -> _Cast:
        if field.is_sequence:
            values, reasons = sequence(field, columns[0], self._value)
            return _Cast(field, _cast_to(values, final), (reasons,))
        if field.shape:
            values, reasons = tensor(field, columns, self._value)
            return _Cast(field, _cast_to(values, final), (reasons,))
        cast = self._checked(field, columns[0])
        return _Cast(field, _cast_to(cast.values, final), cast.reasons)

    def _value(self, field: InputSpec, column: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Returns a value per row of a tensor, and the errors of invalid rows."""
        cast = self._checked(field, column)
        return cast.values, joined(cast.reasons, len(column))

    def _checked(self, field: InputSpec, column: pa.Array) -> _Cast:
        given = column.type
        column = plain(column)
        if _sound(field, column):
            return _Cast(field, _cast_to(column, WIDE[field.type]))
        cast = self._typed(field, column, given)
        return cast if _sound(field, cast.values) and not cast.reasons else _present(_within(cast))

    def _typed(self, field: InputSpec, column: pa.Array, given: pa.DataType) -> _Cast:
        """Casts by the table `TAKEN`. Raises InvalidInputError if the input does not accept the column's
        type."""
        match taken(given, field.type):
            case Taken.NO:
                shown = str(given)[:_LONGEST_ECHO]
                column_name = self._first_columns[field.name]
                raise InvalidInputError(
                    f"column {column_name!r} is {shown}, but {field.name} is {field.type}."
                )
            case Taken.MISSING:
                return _Cast(field, pa.nulls(len(column), WIDE[field.type]))
            case Taken.READ:
                values, unreadable = from_text(field.type, column, decimal=self._decimal)
                return _Cast(field, values).refuse(
                    unreadable, f"is not {DESCRIPTIONS.get(field.type)}", column
                )
            case _:
                return _from_typed(field, column)


def _sound(field: InputSpec, column: pa.Array) -> bool:
    """Whether the minimum and maximum of a column of numbers prove that all its values are valid.

    This takes a tenth of the time of checking each value. False means that each value must be checked.
    """
    if not _is_bounded(field, column.type) or column.null_count or not len(column):
        return False
    values = column.to_numpy()
    least, greatest = values.min().item(), values.max().item()  # NaN if any value is NaN
    most = _MOST[field.type]
    return bool(
        -most <= least
        and greatest <= most
        and (field.minimum is None or field.minimum <= least)
        and (field.maximum is None or greatest <= field.maximum)
    )


def _is_bounded(field: InputSpec, given: pa.DataType) -> bool:
    """Whether bounds are the only condition for values of this type."""
    if field.type not in _MOST or field.allowed is not None:
        return False
    if field.type is InputType.INT64:
        return bool(pa.types.is_integer(given))
    return bool(pa.types.is_floating(given) or pa.types.is_integer(given))


def joined(reasons: Sequence[pa.Array], rows: int) -> pa.Array:
    """Joins the error texts of each row; null for a row without errors."""
    text = pa.nulls(rows, pa.string())
    for reason in reasons:
        # a join is null if either side is null
        text = pc.coalesce(pc.binary_join_element_wise(text, reason, "; "), text, reason)
    return text


def _within(cast: _Cast) -> _Cast:
    """Checks that values are finite, within minimum and maximum, allowed and short enough."""
    field, values = cast.field, cast.values
    if field.type in (InputType.FLOAT, InputType.FLOAT32):
        cast = cast.refuse(pc.invert(pc.is_finite(values)), "is not finite", values)
    if field.type is InputType.FLOAT32:
        cast = cast.refuse(
            pc.greater(pc.abs(cast.values), _FLOAT32_MOST), "is out of the range of 32-bit floats", values
        )
    if field.minimum is not None:
        cast = cast.refuse(pc.less(cast.values, field.minimum), f"is less than {field.minimum}", values)
    if field.maximum is not None:
        cast = cast.refuse(pc.greater(cast.values, field.maximum), f"is greater than {field.maximum}", values)
    if field.allowed is not None:
        allowed = pa.array(field.allowed, values.type)
        wrong = pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, allowed)))
        cast = cast.refuse(wrong, "is not one of the allowed values", values)
    elif field.type is InputType.STRING:
        long = pc.greater(pc.utf8_length(values), field.max_length)
        cast = cast.refuse(long, f"has more than {field.max_length} characters")
    elif field.image is not None:
        cast = _acceptable_images(cast, field.image)
    return cast


def _acceptable_images(cast: _Cast, options: ImageOptions) -> _Cast:
    problems = [None if data is None else options.problem(data) for data in cast.values.to_pylist()]
    for problem in sorted({problem for problem in problems if problem}):
        cast = cast.refuse(pa.array([each == problem for each in problems]), problem)
    return cast


def _present(cast: _Cast) -> _Cast:
    """Marks missing values of an input that is not nullable, except those that are invalid already."""
    if cast.field.nullable or not cast.values.null_count:
        return cast
    missing = pc.is_null(cast.values)
    for reason in cast.reasons:
        missing = pc.and_(missing, pc.is_null(reason))
    return cast.refuse(missing, "is missing")


def _from_typed(field: InputSpec, column: pa.Array) -> _Cast:
    """Casts a column of an accepted type. NaN is a missing value, as in pandas."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    match field.type:
        case InputType.INT64:
            return _whole(field, column)
        case InputType.BOOL if not pa.types.is_boolean(column.type):
            return _zero_or_one(field, column)
        case InputType.DATETIME:
            return _moments(field, column)
        case _:
            return _Cast(field, pc.cast(column, WIDE[field.type], safe=False))


def _whole(field: InputSpec, column: pa.Array) -> _Cast:
    """Casts numbers to integers, if they are whole and fit. pandas stores integers with gaps as floats."""
    if pa.types.is_decimal(column.type):
        return _whole_decimals(field, column)
    if pa.types.is_integer(column.type) and not pa.types.is_uint64(column.type):
        return _Cast(field, pc.cast(column, pa.int64()))
    fits = _is_whole(column)
    values = pc.cast(pc.if_else(fits, column, None), pa.int64(), safe=False)
    return _Cast(field, values).refuse(pc.invert(fits), f"is not {DESCRIPTIONS[InputType.INT64]}", column)


def _is_whole(column: pa.Array) -> pa.Array:
    if pa.types.is_uint64(column.type):
        return pc.less(column, pa.scalar(2**63, pa.uint64()))
    numbers = pc.cast(column, pa.float64())
    return pc.and_(pc.equal(numbers, pc.floor(numbers)), pc.less(pc.abs(numbers), 2.0**63))


def _whole_decimals(field: InputSpec, column: pa.Array) -> _Cast:
    """Casts decimals exactly, because a decimal may have more digits than a float."""
    try:
        return _Cast(field, pc.cast(column, pa.int64()))
    except pa.ArrowInvalid:
        found = column.to_pylist()
    fits = [v is not None and v == v.to_integral_value() and -(2**63) <= v < 2**63 for v in found]
    values = pa.array([int(v) if fit else None for v, fit in zip(found, fits, strict=True)], pa.int64())
    wrong = pc.and_(column.is_valid(), pc.invert(pa.array(fits, pa.bool_())))
    return _Cast(field, values).refuse(wrong, f"is not {DESCRIPTIONS[InputType.INT64]}", column)


def _zero_or_one(field: InputSpec, column: pa.Array) -> _Cast:
    """Casts 1 and 0 to booleans, as written by databases without booleans."""
    numbers = pc.cast(column, pa.float64(), safe=False)
    fits = pc.or_(pc.equal(numbers, 0), pc.equal(numbers, 1))
    values = pc.if_else(fits, pc.equal(numbers, 1), None)
    return _Cast(field, values).refuse(pc.invert(fits), f"is not {DESCRIPTIONS[InputType.BOOL]}", column)


def _moments(field: InputSpec, column: pa.Array) -> _Cast:
    """Casts times to microseconds. Seconds and milliseconds may exceed the 64-bit range of microseconds."""
    parts = {"s": 10**6, "ms": 10**3}.get(column.type.unit, 1)
    counts = column.cast(pa.int64())
    most = (2**63 - 1) // parts
    wrong = pc.or_(pc.greater(counts, most), pc.less(counts, -most))
    values = pc.cast(pc.if_else(wrong, None, column), WIDE[InputType.DATETIME], safe=False)
    return _Cast(field, values).refuse(wrong, "is out of the range of 64-bit microseconds")


def kept_values(column: pa.Array) -> pa.Array:
    """Returns a kept column in a storable type: its own type if Arrow can select rows of it, else text."""
    column = storable(column)
    if is_storable(column.type):
        return column
    listed = plain_lists(column)
    return listed if is_storable(listed.type) else value_texts(column)


def _cast_to(column: pa.Array, final: pa.DataType) -> pa.Array:
    return column if column.type == final else pc.cast(column, final, safe=False)


def _as_text(column: pa.Array) -> pa.Array:
    return pc.cast(column, pa.string())


_MOST: dict[InputType, float] = {
    InputType.FLOAT: sys.float_info.max,
    InputType.FLOAT32: _FLOAT32_MOST,
    InputType.INT64: 2**63 - 1,
}
