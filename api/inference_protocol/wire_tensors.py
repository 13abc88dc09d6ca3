"""Tensors of the protocol, of either transport."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from struct import Struct as Layout
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from api.inference_protocol.datatypes import BOOL, BYTES, FIXED_WIDTH
from shared.errors import InvalidInputError
from shared.safe_texts import named

Array: TypeAlias = NDArray[Any]  # Any: the element type is the datatype's
_LENGTH = Layout("<I")
"""The length of an element of a binary BYTES tensor, before its bytes."""


class InputTensor(msgspec.Struct, frozen=True):
    """A tensor of a request. `data`: its elements in row-major order, as numbers, as values of JSON, or
    as the bytes of a binary BYTES tensor."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Array | list[Any]

    @property
    def rows(self) -> int:
        return self.shape[0]


class OutputTensor(msgspec.Struct, frozen=True):
    """A tensor of a response. `data`: its elements in row-major order, texts for BYTES; or in binary."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Array | list[Any] | bytes

    def values(self) -> list[Any]:
        """The elements as values of JSON."""
        if isinstance(self.data, bytes):
            raise TypeError("a tensor in binary form has no values of JSON")
        if isinstance(self.data, np.ndarray):
            values: list[Any] = self.data.tolist()
            return values
        return self.data

    def binary(self) -> bytes:
        """The elements in the binary form of the datatype."""
        if isinstance(self.data, bytes):
            return self.data
        if self.datatype == BYTES:
            return pack_texts(self.values())
        return np.asarray(self.data, dtype=FIXED_WIDTH[self.datatype]).tobytes()


def check_shape(name: str, datatype: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Raises InvalidInputError if the datatype is unknown, or the shape has no rows."""
    if datatype not in FIXED_WIDTH and datatype != BYTES:
        known = ", ".join([*FIXED_WIDTH, BYTES])
        raise InvalidInputError(
            f"Input {named(name)}: datatype {named(datatype)} is not supported; supported: {known}."
        )
    if not shape or min(shape) < 1:
        raise InvalidInputError(
            f"Input {named(name)}: shape {list(shape[:8])} is invalid: its first dimension is the number of "
            "rows, and each dimension is at least 1."
        )
    return tuple(shape)


def of_binary(name: str, datatype: str, shape: Sequence[int], data: memoryview | bytes) -> InputTensor:
    """A tensor of its binary form. Raises InvalidInputError if shape and size differ."""
    shape = check_shape(name, datatype, shape)
    count = math.prod(shape)
    if datatype == BYTES:
        return InputTensor(name, datatype, shape, _elements(name, memoryview(data), count))
    dtype = FIXED_WIDTH[datatype]
    if len(data) != count * dtype.itemsize:
        raise InvalidInputError(
            f"Input {named(name)}: shape {list(shape)} of {datatype} takes {count * dtype.itemsize} bytes, "
            f"but the input has {len(data)}."
        )
    return InputTensor(name, datatype, shape, np.frombuffer(data, dtype=dtype))


def of_elements(name: str, datatype: str, shape: Sequence[int], data: Array | list[Any]) -> InputTensor:
    """A tensor of its elements, flat. Raises InvalidInputError if shape and number differ."""
    shape = check_shape(name, datatype, shape)
    count = math.prod(shape)
    if len(data) != count:
        raise InvalidInputError(
            f"Input {named(name)}: shape {list(shape)} takes {count} values, but it has {len(data)}."
        )
    return InputTensor(name, datatype, shape, data)


def of_values(name: str, datatype: str, shape: Sequence[int], data: list[Any]) -> InputTensor:
    """A tensor of JSON values, nested or flat. Raises InvalidInputError if shape and number differ."""
    flat = _flat(name, data)
    return of_elements(name, datatype, shape, _as_booleans(flat) if datatype == BOOL else flat)


def pack_texts(texts: Sequence[str | bytes | None]) -> bytes:
    """The binary form of a BYTES tensor; a missing text is empty."""
    packed = bytearray()
    for text in texts:
        data = text if isinstance(text, bytes) else (text or "").encode()
        packed += _LENGTH.pack(len(data))
        packed += data
    return bytes(packed)


def as_texts(name: str, elements: Iterable[Any]) -> list[Any]:
    """Elements of a BYTES tensor, those in bytes as texts.

    Raises InvalidInputError with the first element that is not UTF-8.
    """
    texts: list[Any] = []
    for index, element in enumerate(elements):
        try:
            texts.append(str(element, "utf-8") if isinstance(element, bytes) else element)
        except UnicodeDecodeError:
            raise InvalidInputError(f"Row {index}, input {named(name)}: the text is not UTF-8.") from None
    return texts


def _elements(name: str, data: memoryview, count: int) -> list[bytes]:
    found: list[bytes] = []
    at, size = 0, len(data)
    while at < size and len(found) < count:
        begin = at + _LENGTH.size
        at = begin + _LENGTH.unpack_from(data, at)[0] if begin <= size else size + 1
        if at > size:
            break
        found.append(bytes(data[begin:at]))
    if at != size or len(found) != count:
        raise InvalidInputError(
            f"Input {named(name)}: its {size} bytes are not {count} elements of BYTES, each with its length "
            "in 4 bytes before it."
        )
    return found


def _flat(name: str, data: list[Any]) -> list[Any]:
    """The values of a nested list. Raises InvalidInputError if it is nested unevenly."""
    while data and isinstance(data[0], list):
        lengths = {len(part) if isinstance(part, list) else -1 for part in data}
        if len(lengths) > 1:
            raise InvalidInputError(f"Input {named(name)}: the lists of `data` differ in length.")
        data = list(chain.from_iterable(data))
    return data


_BOOLEANS = {"true": True, "false": False}


def _as_booleans(values: list[Any]) -> list[Any]:
    """Accept texts, which older clients send."""
    return [_BOOLEANS.get(value.lower(), value) if isinstance(value, str) else value for value in values]
