"""Runs a call on a device in pieces: while a piece computes, the next is filled and the previous is copied
back.

host      fill 1   fill 2      take 1, fill 3   take 2, fill 4   …
copy in            1           2                3
compute                        1                2                3
copy out                                        1                2
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from shared.columns import Array
from worker.predictors.pinned_memory import Bytes, DeviceEvent, Staging

Tensor = TypeVar("Tensor")
_IN_FLIGHT = 2
PIECE_BYTES = 4 * 2**20
"""Bytes of rows in a piece: enough that computing a piece takes longer than starting it."""


def pieces(rows: int, row_bytes: int, most_bytes: int = PIECE_BYTES) -> list[slice]:
    """All rows in order, in pieces of similar size, none larger than `most_bytes` unless a single row is.

    A single piece if all rows fit into it; none if there are no rows.
    """
    if not rows:
        return []
    most_rows = max(1, most_bytes // max(1, row_bytes))
    count = -(-rows // most_rows)
    borders = [rows * number // count for number in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(borders)]


@dataclass(frozen=True)
class Started(Generic[Tensor]):
    """A piece in progress: the memory of its answer on the device is known, its content is not yet."""

    answer: Tensor
    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    sent: DeviceEvent  # its rows are on the device
    computed: DeviceEvent


class Courier(Protocol[Tensor]):
    """A device with a model on it. Only `settle` waits for the device."""

    def allocate(self, size_bytes: int) -> Bytes:
        """Host memory that the device copies from and to."""

    def start(self, rows: Array) -> Started[Tensor]:
        """Start copying the rows in and computing the answer. Raises any exception of the framework."""

    def fetch(self, started: Started[Tensor], into: Array) -> DeviceEvent:
        """Start copying the answer into an array of its shape and dtype, once it is computed."""

    def settle(self) -> None:
        """Wait until the device has no work left and accesses no host memory."""


@dataclass(frozen=True)
class Source:
    """Rows that are not yet on the device: `fill` writes the rows of a slice."""

    row_shape: tuple[int, ...]
    dtype: npt.DTypeLike
    fill: Callable[[slice, Array], None]


class Pipeline(Generic[Tensor]):
    """Runs a single call at a time; owns the host buffers, two for each direction."""

    def __init__(self, courier: Courier[Tensor], most_bytes: int) -> None:
        """`most_bytes` limits the memory that each of the four buffers keeps."""
        self._courier = courier
        self._places = [_PipelineSlot(courier, most_bytes) for _ in range(_IN_FLIGHT)]

    def run(self, source: Source, cut: Sequence[slice]) -> Array:
        """The answers to all pieces in order, in memory of their own. Needs at least 1 piece.

        Raises any exception of the courier, after all work on the device has ended.
        """
        try:
            return self._run(source, cut)
        except BaseException:
            self._courier.settle()
            raise

    def _run(self, source: Source, cut: Sequence[slice]) -> Array:
        places, under_way = cycle(self._places), deque[tuple[slice, _PipelineSlot[Tensor]]]()
        answers: Array | None = None
        for piece in cut:
            if len(under_way) == _IN_FLIGHT:
                _take(under_way, answers)
            place = next(places)
            answer = place.begin(source, piece)
            if answers is None:
                answers = np.empty((cut[-1].stop, *answer.shape[1:]), answer.dtype)
            under_way.append((piece, place))
        while under_way:
            _take(under_way, answers)
        assert answers is not None
        return answers


class _PipelineSlot(Generic[Tensor]):
    """Handles a piece at a time, from its rows to its answer."""

    def __init__(self, courier: Courier[Tensor], most_bytes: int) -> None:
        self._courier = courier
        self._rows = Staging(courier.allocate, most_bytes)
        self._answers = Staging(courier.allocate, most_bytes)
        self._answer: Array = np.empty(0)

    def begin(self, source: Source, piece: slice) -> Array:
        """Start a piece. → the memory that holds its answer after `take`."""
        rows = self._rows.lend((piece.stop - piece.start, *source.row_shape), source.dtype)
        source.fill(piece, rows)
        started = self._courier.start(rows)
        self._rows.busy_until(started.sent)
        self._answer = self._answers.lend(started.shape, started.dtype)
        self._answers.busy_until(self._courier.fetch(started, self._answer))
        return self._answer

    def take(self) -> Array:
        """The answer, after waiting for it; valid until the next `begin`."""
        self._answers.wait()
        return self._answer


def _take(under_way: deque[tuple[slice, _PipelineSlot[Tensor]]], answers: Array | None) -> None:
    """Copy the oldest piece's answer into the result. Raises ValueError if its length is wrong."""
    assert answers is not None
    piece, place = under_way.popleft()
    answer = place.take()
    if len(answer) != piece.stop - piece.start:
        raise ValueError(f"{piece.stop - piece.start} rows were answered by {len(answer)}")
    answers[piece] = answer
