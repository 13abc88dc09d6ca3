"""Decodes image inputs in threads beside the engine, so that decoding and predicting overlap.

A column of images holds files. `begin` replaces the files of some rows by rows of a block: an array that
threads fill, a row for each file. A call on rows of a single block gets them without a copy. A column without
blocks is decoded when it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableSequence, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from shared.columns import Array, Columns
from shared.errors import InvalidInputError
from shared.input_specs import InputSpec
from shared.specs import ModelSpec
from worker.predictors.image_files import decode_into, require_pillow


class ImageDecoder:
    """Decodes the image inputs of a model."""

    def __init__(self, spec: ModelSpec) -> None:
        """Raises ArtifactError if Pillow is not installed."""
        require_pillow(spec)
        self._images = [(place, field) for place, field in enumerate(spec.inputs) if field.image]

    def begin_entries(self, entries: Sequence[Sequence[Any]]) -> None:
        """Begin to decode the images of online entries, whose wire columns are changed."""
        for place, field in self._images:
            columns = [entry[place] for entry in entries if _is_column(entry, place)]
            files = [file for column in columns for file in column]
            _begin(files, 0, len(files), field)
            begun = iter(files)
            for column in columns:
                column[:] = [next(begun) for _ in column]

    def wait(self, entries: Sequence[Sequence[Any]]) -> None:
        """Return as soon as the images of online entries that have begun are decoded."""
        for place, _ in self._images:
            columns = [entry[place] for entry in entries if _is_column(entry, place)]
            for block in {row.block for column in columns for row in column if isinstance(row, _Row)}:
                block.wait()

    def begin(self, columns: Columns, start: int, stop: int) -> None:
        """Begin to decode the rows from `start` to `stop`, in place."""
        for _, field in self._images:
            column: Any = columns[field.name]  # an array of objects is a mutable sequence
            _begin(column, start, min(stop, len(column)), field)

    def begun_rows(self, columns: Columns, start: int) -> int:
        """The number of rows from `start` that a call gets without a copy; 0 if `start` has not begun."""
        return min(_rows_of_block(columns[field.name], start) for _, field in self._images)

    def release(self, columns: Columns, start: int, stop: int) -> None:
        """Free the blocks of rows that are done."""
        for _, field in self._images:
            columns[field.name][start:stop] = None

    def decoded(self, columns: Columns) -> Columns:
        """The columns with an array for each image input: (rows, *shape) of its dtype, writable and owned by
        the caller.

        Raises InvalidInputError if an image cannot be decoded.
        """
        return columns | {field.name: _stacked(field, columns[field.name]) for _, field in self._images}


def _is_column(entry: Sequence[Any], place: int) -> bool:
    """False for an entry that does not match the spec. It fails alone, as soon as its batch is joined."""
    return place < len(entry) and isinstance(entry[place], list)


class _Block:
    """The array of some files, which threads fill."""

    def __init__(self, field: InputSpec, files: Sequence[bytes | None]) -> None:
        assert field.image is not None
        self._field = field
        self._options = field.image
        self._files = files
        self._array = np.empty((len(files), *field.image.shape), dtype=field.image.dtype)
        self._errors: dict[int, Exception] = {}
        self._used: set[int] = set()  # rows that a call has had, or that failed
        rows = iter(range(len(files)))  # shared by the threads: cheaper than a future for each row
        pool = _pool(os.getpid())
        self._filling = [pool.submit(self._fill, rows) for _ in range(min(len(files), _cores()))]

    def __len__(self) -> int:
        return len(self._files)

    def wait(self) -> None:
        """Return as soon as all rows are decoded, or have failed."""
        for thread in self._filling:
            thread.result()

    def rows(self, start: int, stop: int) -> Array:
        """The arrays of these rows, for a single call: a model may change its input, so that a further call
        on the same rows decodes again. Raises InvalidInputError."""
        self.wait()
        rows = range(start, stop)
        if wrong := self._errors.keys() & rows:
            raise self._errors.pop(min(wrong))
        if self._used.intersection(rows):
            return _Block(self._field, self._files[start:stop]).rows(0, len(rows))
        self._used.update(rows)
        return self._array[start:stop]

    def _fill(self, rows: Iterator[int]) -> None:
        for row in rows:
            try:
                self._fill_row(row, self._files[row])
            except InvalidInputError as error:  # a new error: the frames of this error refer to the array
                self._fail(row, InvalidInputError(f"{self._field.name}: {error.detail}"))
            except Exception as error:
                self._fail(row, error.with_traceback(None))

    def _fill_row(self, row: int, file: bytes | None) -> None:
        if file is None:  # a missing image is black
            self._array[row] = 0
        else:
            decode_into(self._array[row], file, self._options)

    def _fail(self, row: int, error: Exception) -> None:
        self._used.add(row)
        self._errors[row] = error


@dataclass(frozen=True, eq=False, slots=True)
class _Row:
    """A row of a block, in place of the file."""

    block: _Block
    place: int


def _begin(files: MutableSequence[Any], start: int, stop: int, field: InputSpec) -> None:
    """Replace files by rows of a block, up to the first row that has begun before."""
    stop = next((place for place in range(start, stop) if isinstance(files[place], _Row)), stop)
    if start < stop:
        block = _Block(field, list(files[start:stop]))
        for row in range(stop - start):
            files[start + row] = _Row(block, row)


def _rows_of_block(files: Array, start: int) -> int:
    """The number of rows from `start` that follow each other in a single block; 0 if it has none."""
    first, rows = files[start], 0
    if not isinstance(first, _Row):
        return 0
    for place, row in enumerate(files[start:], first.place):
        if not isinstance(row, _Row) or row.block is not first.block or row.place != place:
            break
        rows += 1
    return rows


def _stacked(field: InputSpec, files: Array) -> Array:
    """The arrays of all rows, as a view of their block if they have a block to themselves."""
    assert field.image is not None
    begun: Any = files.copy()  # an array of objects is a mutable sequence
    pieces: list[Array] = []
    start = 0
    while start < len(begun):
        _begin(begun, start, len(begun), field)
        first, rows = begun[start], _rows_of_block(begun, start)
        pieces.append(first.block.rows(first.place, first.place + rows))
        start += rows
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate(pieces) if pieces else np.empty((0, *field.image.shape), field.image.dtype)


@lru_cache(maxsize=1)
def _pool(_process: int) -> ThreadPoolExecutor:
    """The threads of this process; a fork has none of its parent's threads. Pillow decodes and resizes
    without the GIL."""
    return ThreadPoolExecutor(max_workers=_cores(), thread_name_prefix="images")


def _cores() -> int:
    return len(os.sched_getaffinity(0))
