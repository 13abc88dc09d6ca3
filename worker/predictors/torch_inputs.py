"""The inputs of a network of torch, and a call's columns as its tensors.

A network with one input gets the only tensor of the spec, or all its features side by side. A network with
several gets a tensor for each input of the spec: by the names in its `forward`, else in the order of the
spec.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.input_specs import InputSpec, InputType
from shared.safe_texts import first_of, named
from shared.specs import ModelSpec
from worker.predictors.device_pipeline import Source

if TYPE_CHECKING:
    import torch

_FLOATS = (InputType.FLOAT, InputType.FLOAT32)
_DTYPES = {InputType.INT64: np.int64, InputType.BOOL: np.bool_}


Passed: TypeAlias = Literal["either", "by position", "by keyword"]
"""How a network takes a tensor; an exported program takes it as it was exported."""


@dataclass(frozen=True)
class NetworkInput:
    """A parameter of `forward`."""

    name: str
    is_required: bool = True
    passed: Passed = "either"
    dtype: torch.dtype | None = None  # exported programs record it
    shape: tuple[int | None, ...] | None = None  # of a row, with None for any length; recorded likewise


@dataclass(frozen=True)
class OpenNetwork:
    """A network that was opened from a file."""

    module: torch.nn.Module
    inputs: tuple[NetworkInput, ...] = ()  # empty: unknown
    rows: int | None = None  # of a call, if the file fixes their number


@dataclass(frozen=True)
class _NetworkArgument:
    """A tensor that the network takes, from one input of the spec or from all side by side."""

    fields: tuple[str, ...]
    dtype: npt.DTypeLike
    side_by_side: bool
    keyword: str = ""

    def array(self, columns: Columns) -> Array:
        """In C order and writable: torch warns about read-only memory, such as Arrow's."""
        arrays = [columns[name] for name in self.fields]
        array = np.stack(arrays, axis=1) if self.side_by_side else arrays[0]
        return np.require(array, self.dtype, ["C", "W"])


class InputArrays:
    """A call's columns as the arrays that a network takes."""

    def __init__(self, spec: ModelSpec, network: Sequence[NetworkInput] = ()) -> None:
        """`network`: its inputs; empty: unknown. Raises ArtifactError if the spec has others."""
        self._places = _places(spec, network)
        self._only = self._places[0]
        self.are_several = len(self._places) > 1
        self.keywords = tuple(place.keyword for place in self._places)

    def arrays(self, columns: Columns) -> list[Array]:
        return [place.array(columns) for place in self._places]

    def source(self, columns: Columns) -> Source:
        """The only array, to be written directly into the memory of a copy."""
        arrays = [columns[name] for name in self._only.fields]
        dtype = self._only.dtype
        if not self._only.side_by_side:
            return Source(
                arrays[0].shape[1:],
                dtype,
                lambda piece, into: np.copyto(into, arrays[0][piece], casting="unsafe"),
            )
        return Source((len(arrays),), dtype, lambda piece, into: _fill_side_by_side(arrays, piece, into))

    def row_bytes(self, columns: Columns) -> int:
        """Size of a row of the only array."""
        fields = self._only.fields
        size = len(fields) if self._only.side_by_side else math.prod(columns[fields[0]].shape[1:])
        return size * np.dtype(self._only.dtype).itemsize


def _fill_side_by_side(arrays: Sequence[Array], piece: slice, into: Array) -> None:
    for number, array in enumerate(arrays):
        into[:, number] = array[piece]


def _places(spec: ModelSpec, network: Sequence[NetworkInput]) -> list[_NetworkArgument]:
    _check_types(spec)
    required = [one for one in network if one.is_required]
    features = all(i.type in _FLOATS and not i.shape for i in spec.inputs)
    if len(required) < 2 and features:
        return [_all_in_one(spec, required)]
    if len(spec.inputs) == 1 and len(required) < 2:
        return [_place(spec.inputs[0], required[0] if required else None, keyword=False)]
    return _separate(spec, network, required)


def _check_types(spec: ModelSpec) -> None:
    wrong = [i for i in spec.inputs if i.type in (InputType.STRING, InputType.DATETIME)]
    if wrong:
        raise ArtifactError(
            f"input {named(wrong[0].name)} is {wrong[0].type}, and a network of torch takes numbers: declare "
            "numbers, or use the python framework, which can convert it"
        )


def _all_in_one(spec: ModelSpec, required: Sequence[NetworkInput]) -> _NetworkArgument:
    """All features side by side, or one value per row if that is what the network records."""
    known = required[0] if required else None
    shape = known.shape if known else None
    count = len(spec.inputs)
    if shape == () and count == 1:
        return _place(spec.inputs[0], known, keyword=False)
    if shape is not None and (len(shape) != 1 or shape[0] not in (None, count)):
        raise ArtifactError(
            f"the network takes {_shown(known)}, and model.toml declares {count} inputs: declare one input "
            "for each value, in the order of the training, or one tensor of this shape"
        )
    keyword = _keyword(known, prefers_keyword=False)
    return _NetworkArgument(
        tuple(spec.input_names), _dtype(spec.inputs[0], known), side_by_side=True, keyword=keyword
    )


def _separate(
    spec: ModelSpec, network: Sequence[NetworkInput], required: Sequence[NetworkInput]
) -> list[_NetworkArgument]:
    """A tensor for each input of the spec."""
    if not network:
        return [_place(field, None, keyword=False) for field in spec.inputs]
    found = {one.name: field for one in network if (field := spec.input_of_column(one.name))}
    is_by_name = all(one.name in found for one in required) and len(found) == len(spec.inputs)
    if is_by_name:
        return [_place(found[one.name], one, keyword=True) for one in network if one.name in found]
    if found or not len(required) <= len(spec.inputs) <= len(network):
        raise ArtifactError(
            f"the network takes {len(required)} tensors ({first_of([one.name for one in required])}), and "
            f"model.toml declares the inputs {first_of(spec.input_names)}: declare an input for each tensor, "
            "with its name as `name` or `column`"
        )
    return [_place(field, one, keyword=False) for field, one in zip(spec.inputs, network, strict=False)]


def _place(field: InputSpec, one: NetworkInput | None, *, keyword: bool) -> _NetworkArgument:
    if one and one.shape is not None and not _fits(field, one.shape):
        raise ArtifactError(
            f"input {named(field.name)} has shape {list(_shape(field))} per row, and the network takes "
            f"{_shown(one)}: declare this shape"
        )
    name = _keyword(one, prefers_keyword=keyword)
    return _NetworkArgument((field.name,), _dtype(field, one), _is_column(field, one), name)


def _keyword(one: NetworkInput | None, *, prefers_keyword: bool) -> str:
    """The name that a tensor is passed by; empty: it is passed by its position."""
    if one is None or one.passed == "by position":
        return ""
    return one.name if prefers_keyword or one.passed == "by keyword" else ""


def _is_column(field: InputSpec, one: NetworkInput | None) -> bool:
    """Whether a single value per row is an array of one column."""
    return not _shape(field) and one is not None and one.shape in ((1,), (None,))


def _fits(field: InputSpec, shape: tuple[int | None, ...]) -> bool:
    own = _shape(field)
    if not own and shape in ((), (1,), (None,)):
        return True
    return len(own) == len(shape) and all(
        theirs is None or ours in (theirs, -1) for ours, theirs in zip(own, shape, strict=True)
    )


def _shape(field: InputSpec) -> tuple[int, ...]:
    return field.image.shape if field.image else field.shape


def _dtype(field: InputSpec, one: NetworkInput | None) -> npt.DTypeLike:
    if one is not None and one.dtype is not None:
        return numpy_dtype(one.dtype)
    if field.image is not None:
        return np.dtype(field.image.dtype)
    return np.dtype(_DTYPES.get(field.type, np.float32))


def numpy_dtype(dtype: torch.dtype) -> npt.DTypeLike:
    """The element type of an array that becomes a tensor of `dtype`. Raises ArtifactError if there is
    none."""
    import torch

    if dtype is torch.bfloat16 or dtype.is_complex:
        raise ArtifactError(f"the program takes {dtype}, which rows cannot hold: export it in torch.float32")
    return torch.empty(0, dtype=dtype).numpy().dtype


def _shown(one: NetworkInput | None) -> str:
    assert one is not None
    assert one.shape is not None
    sizes = ", ".join("any" if length is None else str(length) for length in one.shape)
    return f"{named(one.name)} of shape [{sizes}] per row"
