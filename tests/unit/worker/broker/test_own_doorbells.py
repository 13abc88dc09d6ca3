"""A thread answers its own doorbells for the model version that it is running."""

from __future__ import annotations

import threading

import pytest

from shared.keys import ModelKey, model_key
from worker.broker.own_doorbells import TURN_S, OwnDoorbells

IRIS, QUALITY = model_key("iris", "1.0.0"), model_key("quality", "1.0.0")


class House:
    """Chunks with a duration, by a clock that the test sets, and the doorbells that reach Celery."""

    def __init__(self, chunks: int, takes_s: float = 0.01) -> None:
        self.chunks, self.takes_s = chunks, takes_s
        self.now_s = 100.0
        self.stopping = False
        self.ran = 0
        self.sent: list[tuple[ModelKey, int]] = []
        self.doorbells = OwnDoorbells(lambda key, count: self.sent.append((key, count)), lambda: self.now_s)

    def run_next(self, key: ModelKey) -> bool:
        if not self.chunks or self.stopping:
            return False
        self.chunks -= 1
        self.ran += 1
        self.now_s += self.takes_s
        if self.chunks:
            self.doorbells(key, 1)  # a commit that left ready chunks
        return True


def test_one_doorbell_runs_all_small_chunks_and_rings_no_other() -> None:
    house = House(chunks=20)
    house.doorbells.answer(IRIS, house.run_next)
    assert (house.ran, house.sent) == (20, [])


def test_after_its_turn_a_thread_rings_for_what_is_left() -> None:
    house = House(chunks=20, takes_s=TURN_S / 2)
    house.doorbells.answer(IRIS, house.run_next)
    assert (house.ran, house.sent) == (2, [(IRIS, 1)])


def test_with_nothing_ready_a_doorbell_ends() -> None:
    house = House(chunks=0)
    house.doorbells.answer(IRIS, house.run_next)
    assert house.sent == []


def test_a_worker_that_stops_rings_for_those_that_go_on() -> None:
    house = House(chunks=3)

    def run_next(key: ModelKey) -> bool:
        ran = house.run_next(key)
        house.stopping = True  # while its chunk ends
        return ran

    house.doorbells.answer(IRIS, run_next)
    assert (house.ran, house.sent) == (1, [(IRIS, 1)])


def test_a_doorbell_of_another_model_version_or_of_another_thread_is_sent() -> None:
    house = House(chunks=1)

    def run_next(key: ModelKey) -> bool:
        house.doorbells(QUALITY, 2)
        other = threading.Thread(target=house.doorbells, args=(key, 1))
        other.start()
        other.join()
        return True

    house.doorbells.answer(IRIS, run_next)
    assert house.sent == [(QUALITY, 2), (IRIS, 1)]


def test_of_several_doorbells_one_is_kept_and_the_others_are_for_other_threads() -> None:
    house = House(chunks=0)
    calls: list[ModelKey] = []

    def run_next(key: ModelKey) -> bool:
        calls.append(key)
        if len(calls) == 1:
            house.doorbells(key, 3)
        return True

    house.doorbells.answer(IRIS, run_next)
    assert (calls, house.sent) == ([IRIS, IRIS], [(IRIS, 2)])


def test_after_an_error_doorbells_are_sent_again() -> None:
    house = House(chunks=0)

    def fails(_key: ModelKey) -> bool:
        raise ConnectionError("the server is away")

    with pytest.raises(ConnectionError):
        house.doorbells.answer(IRIS, fails)
    house.doorbells(IRIS, 1)
    assert house.sent == [(IRIS, 1)]
