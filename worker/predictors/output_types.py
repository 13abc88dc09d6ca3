"""Converts an answer's values to the declared type of an output, exactly, or says why that is not possible.

    type       accepts                                                       becomes
    float64    numbers                                                       float64
    float32    numbers, rounded to float32                                   float32
    int64      integers, whole floats, bools                                 int64
    bool       bools, the numbers 0 and 1                                    bool
    string     text                                                          str (object)

Without `nullable`, a missing value is an error. With it, NaN, None, NaT and pandas' NA are missing: NaN in a
column of floats, None in others, which then are of dtype object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from shared.columns import Array
from shared.output_specs import OutputSpec, OutputType
from worker.predictors.probabilities import NOT_FINITE

_MISSING_TYPES = ("NAType", "NaTType")  # by name: pandas need not be imported
_INT64_END = 2.0**63


class UnfitValuesError(ValueError):
    """The values do not have the declared type."""


def typed(output: OutputSpec, values: Array) -> Array:
    """The values in the output's type. The first axis is the rows. Raises UnfitValuesError."""
    kind = output.value_type
    if kind.is_float:
        return _floats(output, values)
    missing = _missing(values)
    if missing is None or not missing.any():
        return _CONVERTERS[kind](values)
    if not output.nullable:
        raise UnfitValuesError(
            f"has no value in row {_row_of(missing)}; a value may be missing if nullable = true"
        )
    found = np.full(values.shape, None, dtype=object)
    found[~missing] = _CONVERTERS[kind](values[~missing])
    return found


def _floats(output: OutputSpec, values: Array) -> Array:
    if values.dtype == object:
        missing = _missing(values)
        assert missing is not None
        values = np.where(missing, np.nan, values)
        _refuse(values, np.frompyfunc(_is_no_number, 1, 1)(values).astype(bool), output.value_type)
    elif values.dtype.kind not in "fiub":
        raise UnfitValuesError(f"is {values.dtype}, not {output.value_type}")
    with np.errstate(over="ignore"):  # infinity is refused below
        found = values.astype(output.value_type.value, copy=False)
    unfit = np.isinf(found) if output.nullable else ~np.isfinite(found)
    if unfit.any():
        raise UnfitValuesError(f"{NOT_FINITE} in row {_row_of(unfit)}")
    return found


def _is_no_number(value: Any) -> bool:  # Any: an answer may hold anything
    return not isinstance(value, int | float | np.number | np.bool_)


def _missing(values: Array) -> Array | None:
    """A mask of missing values; None: the dtype has no missing values."""
    if values.dtype.kind == "f":
        missing: Array = np.isnan(values)
        return missing
    if values.dtype == object:
        return np.frompyfunc(_is_missing, 1, 1)(values).astype(bool)  # type: ignore[no-any-return]
    return None


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in _MISSING_TYPES:
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _integers(values: Array) -> Array:
    if values.dtype == object:
        values = _narrowed(values, OutputType.INT64)
    if values.dtype.kind == "f":
        within = (values >= -_INT64_END) & (values < _INT64_END) & (np.floor(values) == values)
        _refuse(values, ~within, OutputType.INT64)
    elif values.dtype.kind == "u":
        _refuse(values, values > np.iinfo(np.int64).max, OutputType.INT64)
    elif values.dtype.kind not in "ib":
        raise UnfitValuesError(f"is {values.dtype}, not {OutputType.INT64}")
    return values.astype(np.int64, copy=False)


def _bools(values: Array) -> Array:
    if values.dtype == object:
        values = _narrowed(values, OutputType.BOOL)
    if values.dtype.kind not in "fiub":
        raise UnfitValuesError(f"is {values.dtype}, not {OutputType.BOOL}")
    _refuse(values, (values != 0) & (values != 1), OutputType.BOOL)
    return values.astype(np.bool_, copy=False)


def _narrowed(values: Array, kind: OutputType) -> Array:
    """Python numbers as an array of the dtype that numpy finds for them."""
    _refuse(values, np.frompyfunc(_is_no_number, 1, 1)(values).astype(bool), kind)
    return np.array(values.reshape(-1).tolist()).reshape(values.shape)


def _strings(values: Array) -> Array:
    if values.dtype.kind not in "OUT":
        raise UnfitValuesError(f"is {values.dtype}, not {OutputType.STRING}")
    found = values.astype(object)
    _refuse(found, ~np.frompyfunc(_is_text, 1, 1)(found).astype(bool), OutputType.STRING)
    return np.frompyfunc(str, 1, 1)(found)  # type: ignore[no-any-return]  # of a subclass, such as np.str_


def _is_text(value: Any) -> bool:
    """Whether it is text that UTF-8 can represent: no single surrogate."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _refuse(values: Array, unfit: Array, kind: OutputType) -> None:
    if unfit.any():
        value = values[unfit].tolist()[0]
        raise UnfitValuesError(f"answered {value!r:.80} in row {_row_of(unfit)}, which is not {kind}")


def _row_of(unfit: Array) -> int:
    return int(np.argwhere(unfit)[0][0])


_CONVERTERS: dict[OutputType, Callable[[Array], Array]] = {
    OutputType.INT64: _integers,
    OutputType.BOOL: _bools,
    OutputType.STRING: _strings,
}
