"""Reads the head of an ONNX file: producer, versions of the format and of its operators.

The file is a message of Protocol Buffers, https://protobuf.dev/programming-guides/encoding; the fields are
those of `ModelProto` in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. The graph is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_IR_VERSION, _PRODUCER, _PRODUCER_VERSION, _GRAPH, _OPSET = 1, 2, 3, 7, 8
_DOMAIN, _VERSION = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_TEXT = 4096


class NotOnnxError(Exception):
    """The bytes are no ONNX model, or end too early."""


@dataclass
class OnnxHeader:
    """What an ONNX file says about itself."""

    ir_version: int = 0
    producer: str = ""
    producer_version: str = ""
    opsets: dict[str, int] = field(default_factory=dict)  # domain → version; the default domain is "ai.onnx"
    has_graph: bool = False


def read_header(path: Path) -> OnnxHeader:
    """Raises NotOnnxError and OSError."""
    header = OnnxHeader()
    with path.open("rb") as file:
        for number, value in _fields(file, path.stat().st_size):
            _take(header, number, value)
    if not header.has_graph or not header.ir_version:
        raise NotOnnxError("it has no graph")
    return header


def _take(header: OnnxHeader, number: int, value: int | bytes) -> None:
    if number == _IR_VERSION and isinstance(value, int):
        header.ir_version = value
    elif number == _GRAPH:
        header.has_graph = True
    elif isinstance(value, bytes) and number == _PRODUCER:
        header.producer = value.decode("utf-8", "replace")
    elif isinstance(value, bytes) and number == _PRODUCER_VERSION:
        header.producer_version = value.decode("utf-8", "replace")
    elif isinstance(value, bytes) and number == _OPSET:
        domain, version = _opset(value)
        header.opsets[domain] = version


def _opset(message: bytes) -> tuple[str, int]:
    import io

    fields = dict(_fields(io.BytesIO(message), len(message)))
    domain, version = fields.get(_DOMAIN, b""), fields.get(_VERSION, 0)
    name = domain.decode("utf-8", "replace") if isinstance(domain, bytes) else ""
    return name or "ai.onnx", version if isinstance(version, int) else 0


def _fields(file: IO[bytes], size: int) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: number and value; a large value is skipped and given as empty bytes."""
    while file.tell() < size:
        tag = _varint(file)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            yield number, _varint(file)
        elif kind == _BYTES:
            yield number, _bytes(file, _varint(file), size)
        elif kind in (_FIXED64, _FIXED32):
            yield number, _bytes(file, 8 if kind == _FIXED64 else 4, size)
        else:
            raise NotOnnxError(f"a field has the unknown type {kind}")


def _bytes(file: IO[bytes], length: int, size: int) -> bytes:
    if file.tell() + length > size:
        raise NotOnnxError("it ends too early")
    if length > _MOST_TEXT:
        file.seek(length, 1)
        return b""
    return file.read(length)


def _varint(file: IO[bytes]) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise NotOnnxError("it ends too early")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
