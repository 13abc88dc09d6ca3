"""The base of the tables of `model.toml`, and nested lists in them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Declaration(BaseModel):
    """A table of `model.toml`: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def leaves_of(value: object, shape: tuple[int, ...]) -> list[object] | None:
    """The values of a nested list, or None if it does not have this shape."""
    if not shape:
        return [value]
    if not isinstance(value, list) or (shape[0] != -1 and len(value) != shape[0]):
        return None
    nested = [leaves_of(item, shape[1:]) for item in value]
    return None if None in nested else [leaf for part in nested for leaf in part or ()]
