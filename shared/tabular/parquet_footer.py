"""Checks the footer of a Parquet file for what pyarrow does not report but aborts the process on.

pyarrow's `RowGroupMetaData.column` lets C++ exceptions end the process: for size statistics that contradict
the schema, and for encrypted columns. This module walks the footer before, a struct in Thrift's compact
protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from shared.errors import InvalidInputError

_BOOLS = (1, 2)
_FIXED_BYTES = {3: 1, 7: 8}  # byte, double
_BINARY, _LIST, _SET, _MAP, _STRUCT = 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)
_LONG_SIZE = 15
_DEEPEST = 64

# numbers of fields in parquet.thrift
_ROW_GROUPS = 4  # of FileMetaData
_COLUMNS = 1  # of RowGroup
_META_DATA, _CRYPTO = 3, 8  # of ColumnChunk
_SIZE_STATISTICS = 16  # of ColumnMetaData
_TEXT_BYTES, _REPETITION, _DEFINITION = 1, 2, 3  # of SizeStatistics

_Handlers: TypeAlias = Mapping[int, Callable[[int], None]]


class _DamagedError(Exception):
    """The footer is not a struct of Thrift, or contradicts the schema."""


def check_footer(footer: bytes, schema: Any) -> None:  # Any: pyarrow publishes no types
    """Raises InvalidInputError if pyarrow would end the process when it reads a column's metadata.

    `footer`: the file's serialized metadata. `schema`: its Parquet schema.
    """
    try:
        _Footer(footer, schema).walk()
    except (_DamagedError, IndexError) as error:
        reason = str(error) if isinstance(error, _DamagedError) else "it ends within a value"
        raise InvalidInputError(f"The Parquet file's footer is damaged: {reason}.") from None


class _Footer:
    """Walks the structs and lists that lead to each column's size statistics, and skips everything else."""

    def __init__(self, data: bytes, schema: Any) -> None:
        self._data = data
        self._place = 0
        self._schema = schema
        self._column = 0

    def walk(self) -> None:
        self._struct({_ROW_GROUPS: self._each({_COLUMNS: self._row_group_columns})})

    def _row_group_columns(self, kind: int) -> None:
        handlers = {_META_DATA: self._structs({_SIZE_STATISTICS: self._statistics}), _CRYPTO: self._encrypted}
        self._column = 0
        for element in self._elements(kind):
            self._expect(element, _STRUCT)
            self._struct(handlers)
            self._column += 1

    def _statistics(self, kind: int) -> None:
        self._expect(kind, _STRUCT)
        if self._column >= len(self._schema):
            raise _DamagedError("a row group has more columns than the schema")
        leaf = self._schema.column(self._column)
        self._struct(
            {
                _TEXT_BYTES: lambda kind: self._text_bytes(kind, leaf),
                _REPETITION: lambda kind: self._histogram(kind, leaf.max_repetition_level),
                _DEFINITION: lambda kind: self._histogram(kind, leaf.max_definition_level),
            }
        )

    def _text_bytes(self, kind: int, leaf: Any) -> None:
        if leaf.physical_type != "BYTE_ARRAY":
            raise _DamagedError(f"column {leaf.name!r} has statistics of texts, and is {leaf.physical_type}")
        self._skip(kind)

    def _histogram(self, kind: int, most_level: int) -> None:
        counts = 0
        for element in self._elements(kind):
            self._skip(element, in_list=True)
            counts += 1
        if counts not in (0, most_level + 1):
            raise _DamagedError(f"a histogram of levels has {counts} counts instead of {most_level + 1}")

    def _encrypted(self, _: int) -> None:
        raise _DamagedError("a column is encrypted")

    def _each(self, handlers: _Handlers) -> Callable[[int], None]:
        """Walks the structs of a list."""

        def walk(kind: int) -> None:
            for element in self._elements(kind):
                self._expect(element, _STRUCT)
                self._struct(handlers)

        return walk

    def _structs(self, handlers: _Handlers) -> Callable[[int], None]:
        """Walks a struct."""

        def walk(kind: int) -> None:
            self._expect(kind, _STRUCT)
            self._struct(handlers)

        return walk

    @staticmethod
    def _expect(kind: int, expected: int) -> None:
        if kind != expected:
            raise _DamagedError(f"a value has type {kind} instead of {expected}")

    # -- Thrift's compact protocol -------------------------------------------------------------------------

    def _struct(self, handlers: _Handlers, depth: int = 0) -> None:
        field = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            field = field + step if step else self._zigzag()
            if handler := handlers.get(field):
                handler(kind)
            else:
                self._skip(kind, depth=depth + 1)

    def _elements(self, kind: int) -> Any:
        """Yields the type of each element of a list."""
        if kind not in (_LIST, _SET):
            raise _DamagedError(f"a value has type {kind} instead of {_LIST}")
        head = self._byte()
        size = head >> 4
        for _ in range(self._varint() if size == _LONG_SIZE else size):
            yield head & 15

    def _skip(self, kind: int, *, in_list: bool = False, depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise _DamagedError("its values are nested too deeply")
        if kind in _BOOLS:
            self._place += in_list  # a field has its value in its head
        elif kind in _INTEGERS:
            self._varint()
        elif kind in (_LIST, _SET):
            for element in self._elements(kind):
                self._skip(element, in_list=True, depth=depth + 1)
        elif kind == _MAP:
            self._skip_map(depth)
        elif kind == _STRUCT:
            self._struct({}, depth)
        else:
            self._skip_bytes(kind)

    def _skip_bytes(self, kind: int) -> None:
        size = self._varint() if kind == _BINARY else _FIXED_BYTES.get(kind)
        if size is None:
            raise _DamagedError(f"a value has the unknown type {kind}")
        self._place += size
        if self._place > len(self._data):
            raise _DamagedError("it ends within a value")

    def _skip_map(self, depth: int) -> None:
        size = self._varint()
        kinds = self._byte() if size else 0
        for _ in range(size):
            self._skip(kinds >> 4, in_list=True, depth=depth + 1)
            self._skip(kinds & 15, in_list=True, depth=depth + 1)

    def _byte(self) -> int:
        byte = self._data[self._place]
        self._place += 1
        return byte

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise _DamagedError("a number is too long")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
