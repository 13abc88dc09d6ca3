"""A call on a device, piece by piece: one is filled here while another computes and a third comes back.

host      fill 1   fill 2      take 1, fill 3   take 2, fill 4   …
copy in            1           2                3
compute                        1                2                3
copy out                                        1                2
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from shared.columns import Array
from worker.predictors.staging import Bytes, DeviceEvent, Staging

Tensor = TypeVar("Tensor")
_IN_FLIGHT = 2


@dataclass(frozen=True)
class Started(Generic[Tensor]):
    """A piece on its way: its answer's memory on the device is known, what will stand in it is not yet."""

    answer: Tensor
    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    sent: DeviceEvent  # its rows are on the device
    computed: DeviceEvent


class Courier(Protocol[Tensor]):
    """A device with a model on it. Nothing here waits for the device but `settle`."""

    def allocate(self, size_bytes: int) -> Bytes:
        """Host memory that the device copies from and to."""

    def start(self, rows: Array) -> Started[Tensor]:
        """Have the rows copied in and answered. Raises whatever the framework raises."""

    def fetch(self, started: Started[Tensor], into: Array) -> DeviceEvent:
        """Have the answer copied out, into an array of its shape and dtype, once it is computed."""

    def settle(self) -> None:
        """Wait until nothing is under way: no host memory is read or written any more."""


@dataclass(frozen=True)
class Source:
    """Rows that are not in the device's reach yet: `fill` writes those of a slice."""

    row_shape: tuple[int, ...]
    dtype: npt.DTypeLike
    fill: Callable[[slice, Array], None]


class Pipeline(Generic[Tensor]):
    """Runs one call at a time; owns the buffers on the host, two of each direction."""

    def __init__(self, courier: Courier[Tensor], most_bytes: int) -> None:
        """`most_bytes` bounds what each of the four buffers keeps."""
        self._courier = courier
        self._places = [_Place(courier, most_bytes) for _ in range(_IN_FLIGHT)]

    def run(self, source: Source, cut: Sequence[slice]) -> Array:
        """The answers to all pieces in order, in memory of their own. At least one piece.

        Raises what the courier raises, when nothing is under way any more.
        """
        try:
            return self._run(source, cut)
        except BaseException:
            self._courier.settle()
            raise

    def _run(self, source: Source, cut: Sequence[slice]) -> Array:
        places, under_way = cycle(self._places), deque[tuple[slice, _Place[Tensor]]]()
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


class _Place(Generic[Tensor]):
    """Where one piece is handled at a time, from its rows to its answer."""

    def __init__(self, courier: Courier[Tensor], most_bytes: int) -> None:
        self._courier = courier
        self._rows = Staging(courier.allocate, most_bytes)
        self._answers = Staging(courier.allocate, most_bytes)
        self._answer: Array = np.empty(0)

    def begin(self, source: Source, piece: slice) -> Array:
        """Have it answered. → where the answer will stand once `take` has waited for it."""
        rows = self._rows.lend((piece.stop - piece.start, *source.row_shape), source.dtype)
        source.fill(piece, rows)
        started = self._courier.start(rows)
        self._rows.busy_until(started.sent)
        self._answer = self._answers.lend(started.shape, started.dtype)
        self._answers.busy_until(self._courier.fetch(started, self._answer))
        return self._answer

    def take(self) -> Array:
        """The answer, once it is there; gone with the next `begin`."""
        self._answers.wait()
        return self._answer


def _take(under_way: deque[tuple[slice, _Place[Tensor]]], answers: Array | None) -> None:
    """The oldest piece's answer to where it belongs. Raises ValueError where it has another length."""
    assert answers is not None
    piece, place = under_way.popleft()
    answer = place.take()
    if len(answer) != piece.stop - piece.start:
        raise ValueError(f"{piece.stop - piece.start} rows were answered by {len(answer)}")
    answers[piece] = answer
