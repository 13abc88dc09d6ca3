"""How entries form batches, and how a batch that raises is narrowed down."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.errors import DeadlineExceededError
from shared.keys import ModelKey, model_key
from shared.messages import SCHEMA, Entry, EntryFailure
from worker.online.batching import Delivery, bisect_failures, first_batch

IRIS = model_key("iris", "1.0.0")
OTHER = model_key("quality", "1.0.0")


def delivery(rows: int = 1, *, key: ModelKey = IRIS, deliveries: int = 1, added_ms: int = 0) -> Delivery:
    entry = Entry(SCHEMA, "gateway:1", 1, 0, 10_000, rows, [])
    return Delivery(key, f"{added_ms}-0".encode(), entry, deliveries)


def test_a_batch_fills_up_to_its_rows_and_no_further() -> None:
    assert first_batch([delivery(30), delivery(30), delivery(4), delivery(1)], max_rows=64) == 3


def test_an_entry_larger_than_a_batch_runs_by_itself() -> None:
    assert first_batch([delivery(100), delivery(1)], max_rows=64) == 1


def test_a_batch_is_of_a_single_model_version() -> None:
    assert first_batch([delivery(), delivery(), delivery(key=OTHER), delivery()], max_rows=64) == 2


@pytest.mark.parametrize("suspect_at", [0, 2])
def test_an_entry_delivered_before_runs_alone(suspect_at: int) -> None:
    waiting = [delivery(deliveries=2 if i == suspect_at else 1) for i in range(4)]
    assert first_batch(waiting, max_rows=64) == (1 if suspect_at == 0 else 2)


def test_an_entry_is_late_once_its_budget_has_passed_by_the_servers_clock() -> None:
    waiting = delivery(added_ms=1_000)
    assert not waiting.late(10_999)
    assert waiting.late(11_000)


class Model:
    """Raises if its rows include a bad row."""

    def __init__(self, *bad: int) -> None:
        self._bad = bad
        self.kept: list[int] = []
        self.calls = 0

    def run(self, parts: Sequence[int]) -> None:
        self.calls += 1
        for part in parts:
            if part in self._bad:
                raise ValueError(f"row {part}")
        self.kept += parts


def test_only_the_bad_rows_of_a_batch_fail_and_its_neighbours_are_kept() -> None:
    model = Model(3, 41)
    failed = dict(bisect_failures(range(64), model.run, lambda: None))
    assert failed == {
        bad: EntryFailure("prediction_failed", f"The model raised ValueError: row {bad}") for bad in (3, 41)
    }
    assert sorted(model.kept) == [row for row in range(64) if row not in (3, 41)]


def test_a_good_batch_is_one_call() -> None:
    model = Model()
    assert not list(bisect_failures(range(64), model.run, lambda: None))
    assert model.calls == 1


def test_a_sick_model_blames_no_row() -> None:
    def sick() -> None:
        raise RuntimeError("golden rows fail")

    with pytest.raises(RuntimeError, match="golden rows fail"):
        list(bisect_failures(range(8), Model(1).run, sick))


def test_an_error_of_ours_keeps_its_code_across_the_queue() -> None:
    def run(_: Sequence[int]) -> None:
        raise DeadlineExceededError("too late")

    assert list(bisect_failures([1], run, lambda: None)) == [
        (1, EntryFailure("deadline_exceeded", "too late"))
    ]


def test_a_part_that_expires_while_bad_ones_are_found_fails_without_a_call() -> None:
    model = Model(3, 20, 38)
    failed = dict(bisect_failures(range(64), model.run, lambda: None, expired=lambda part: part >= 40))
    assert {failed.pop(bad).code for bad in (3, 20, 38)} == {"prediction_failed"}
    assert {reason.code for reason in failed.values()} == {"deadline_exceeded"}
    assert min(failed) >= 40
    assert sorted([3, 20, 38, *failed, *model.kept]) == list(range(64))
    assert not set(failed) & set(model.kept)


def test_nothing_expires_in_a_batch_that_passes() -> None:
    model = Model()
    assert not list(bisect_failures(range(8), model.run, lambda: None, expired=lambda _: True))


def test_each_call_of_a_search_is_told_to_the_watchdog() -> None:
    model, alive = Model(3), []
    list(bisect_failures(range(64), model.run, lambda: None, after_call=lambda: alive.append(model.calls)))
    assert alive == list(range(1, model.calls + 1))
