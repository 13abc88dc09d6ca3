"""A large call is cut without loss, and no copy's memory is accessed before the copy has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from shared.columns import Array
from worker.predictors.device_pipeline import Pipeline, Source, Started, pieces
from worker.predictors.pinned_memory import Bytes, Staging


@dataclass
class LateEvent:
    """A device that works only when it is waited for, so that any access that is too early shows."""

    work: Callable[[], None] = lambda: None
    waited: bool = False

    def synchronize(self) -> None:
        if not self.waited:
            self.waited = True
            self.work()


@dataclass
class LateCourier:
    """Doubles rows. It copies in, computes and copies out as late as possible."""

    refuses_at: int = 0  # the start that runs out of memory; 0: none
    starts: int = 0
    allocated: list[int] = field(default_factory=list)
    under_way: list[LateEvent] = field(default_factory=list)
    most_under_way: int = 0

    def allocate(self, size_bytes: int) -> Bytes:
        self.allocated.append(size_bytes)
        return np.empty(size_bytes, np.uint8)

    def start(self, rows: Array) -> Started[Array]:
        self.starts += 1
        if self.starts == self.refuses_at:
            raise MemoryError("out of memory")
        answer = np.empty_like(rows)
        sent = self._event(lambda: np.copyto(answer, rows * 2))
        return Started(answer, answer.shape, answer.dtype, sent, sent)

    def fetch(self, started: Started[Array], into: Array) -> LateEvent:
        def copied() -> None:
            started.computed.synchronize()
            into[:] = started.answer

        return self._event(copied)

    def settle(self) -> None:
        for event in self.under_way:
            event.synchronize()

    def _event(self, work: Callable[[], None]) -> LateEvent:
        self.under_way.append(event := LateEvent(work))
        self.most_under_way = max(self.most_under_way, sum(not one.waited for one in self.under_way))
        return event


def source_of(rows: Array) -> Source:
    return Source(rows.shape[1:], rows.dtype, lambda piece, into: np.copyto(into, rows[piece]))


def numbers(count: int) -> Array:
    return np.arange(count * 2, dtype=np.float32).reshape(count, 2)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9, 40])
def test_a_call_in_pieces_answers_as_a_whole_call_does(count: int) -> None:
    rows, pipeline = numbers(count), Pipeline(LateCourier(), 1000)
    assert np.array_equal(pipeline.run(source_of(rows), pieces(count, 8, 32)), rows * 2)


def test_an_answer_owns_its_memory_and_stays_as_it_is_when_the_next_call_comes() -> None:
    rows, pipeline = numbers(8), Pipeline(LateCourier(), 1000)
    first = pipeline.run(source_of(rows), pieces(8, 8, 32))
    pipeline.run(source_of(rows + 100), pieces(8, 8, 32))
    assert np.array_equal(first, rows * 2)


def test_pieces_are_under_way_together() -> None:
    courier = LateCourier()
    Pipeline(courier, 1000).run(source_of(numbers(16)), pieces(16, 8, 32))
    assert courier.most_under_way == 4  # the copies in and out of two pieces


def test_a_call_that_runs_out_of_memory_leaves_nothing_under_way_and_the_next_is_right() -> None:
    courier, rows = LateCourier(refuses_at=2), numbers(16)
    pipeline = Pipeline(courier, 1000)
    with pytest.raises(MemoryError):
        pipeline.run(source_of(rows), pieces(16, 8, 32))
    assert all(event.waited for event in courier.under_way)
    assert np.array_equal(pipeline.run(source_of(rows), pieces(16, 8, 32)), rows * 2)


def test_buffers_are_used_again() -> None:
    courier = LateCourier()
    pipeline = Pipeline(courier, 1000)
    for _ in range(3):
        pipeline.run(source_of(numbers(40)), pieces(40, 8, 32))
    assert courier.allocated == [32] * 4


def test_a_buffer_grows_by_doubling_up_to_its_bound() -> None:
    courier = LateCourier()
    staging = Staging(courier.allocate, 100)
    for size in (10, 16, 17, 60, 90, 100, 50):
        assert staging.lend((size,), np.uint8).size == size
    assert courier.allocated == [16, 32, 64, 100]


def test_what_is_beyond_the_bound_is_allocated_for_its_copy_alone() -> None:
    courier = LateCourier()
    staging = Staging(courier.allocate, 100)
    for size in (101, 101, 8):
        staging.lend((size,), np.uint8)
    assert courier.allocated == [101, 101, 8]


def test_a_buffer_is_not_lent_before_the_copy_from_it_has_ended() -> None:
    staging, seen = Staging(LateCourier().allocate, 100), []
    lent = staging.lend((4,), np.uint8)
    lent[:] = 7
    staging.busy_until(LateEvent(lambda: seen.append(lent.tolist())))
    staging.lend((4,), np.uint8)[:] = 9
    assert seen == [[7, 7, 7, 7]]


@pytest.mark.parametrize("rows", [1, 9, 10, 11, 19, 20, 21, 1000])
def test_pieces_hold_all_rows_once_and_in_order_and_none_is_too_large(rows: int) -> None:
    cut = pieces(rows, row_bytes=10, most_bytes=100)
    assert [row for piece in cut for row in range(rows)[piece]] == list(range(rows))
    assert max(piece.stop - piece.start for piece in cut) <= 10


def test_no_piece_is_much_smaller_than_another() -> None:
    sizes = [piece.stop - piece.start for piece in pieces(21, row_bytes=10, most_bytes=100)]
    assert sizes == [7, 7, 7]


def test_what_fits_is_one_piece() -> None:
    assert pieces(10, row_bytes=10, most_bytes=100) == [slice(0, 10)]


def test_a_row_that_is_larger_than_a_piece_is_a_piece() -> None:
    assert pieces(2, row_bytes=1000, most_bytes=100) == [slice(0, 1), slice(1, 2)]


def test_no_rows_are_no_pieces() -> None:
    assert pieces(0, row_bytes=10) == []
