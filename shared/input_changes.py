"""Whether a version of a model can run rows that were read and checked for another version of it."""

from __future__ import annotations

from collections.abc import Iterator

from shared.columns import travels_as_bytes
from shared.input_specs import InputSpec, InputType
from shared.specs import ModelSpec


def incompatibility(rows_of: ModelSpec, spec: ModelSpec) -> str | None:
    """Why `spec` cannot take rows that are valid for `rows_of`; None: it can.

    Inputs are matched by name. Further inputs of the rows are left out.
    """
    known = {field.name: field for field in rows_of.inputs}
    for field in spec.inputs:
        if field.name not in known:
            return f"{field.name} is missing in the rows"
        if problem := _narrower(known[field.name], field):
            return f"{field.name} {problem}"
    return None


def wire_order(rows_of: ModelSpec, spec: ModelSpec) -> tuple[int, ...] | None:
    """The place of each input of `spec` in wire columns of `rows_of`; None: the versions are incompatible."""
    if incompatibility(rows_of, spec) is not None:
        return None
    places = {field.name: place for place, field in enumerate(rows_of.inputs)}
    order = tuple(places[field.name] for field in spec.inputs)
    same = all(
        travels_as_bytes(rows_of.inputs[place]) == travels_as_bytes(field)
        for place, field in zip(order, spec.inputs, strict=True)
    )
    return order if same else None


def _narrower(old: InputSpec, new: InputSpec) -> str | None:
    """Why a valid value of `old` may be invalid for `new`; None: it is always valid."""
    if (old.type, old.shape) != (new.type, new.shape):
        return f"is {_described(new)}; the rows have {_described(old)}"
    return next(_limits(old, new), None)


def _limits(old: InputSpec, new: InputSpec) -> Iterator[str]:
    """The limits of `new` that `old` does not have."""
    if old.nullable and not new.nullable:
        yield "must not be null; in the rows it may be"
    if new.minimum is not None and (old.minimum is None or old.minimum < new.minimum):
        yield f"must be at least {new.minimum}; the rows may have less"
    if new.maximum is not None and (old.maximum is None or old.maximum > new.maximum):
        yield f"must be at most {new.maximum}; the rows may have more"
    if new.allowed is not None and (old.allowed is None or not set(old.allowed) <= set(new.allowed)):
        yield "has allowed values; the rows may have others"
    if new.max_length < old.max_length and (new.type is InputType.STRING or new.is_sequence):
        yield f"has at most a length of {new.max_length}; the rows may have {old.max_length}"


def _described(field: InputSpec) -> str:
    return f"{field.type} of shape {list(field.shape)}" if field.shape else str(field.type)
