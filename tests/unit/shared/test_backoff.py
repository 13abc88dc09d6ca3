"""The delay before a process is started again."""

from __future__ import annotations

import pytest

from shared.backoff import Backoff, RestartHistory, RestartPolicy

POLICY = RestartPolicy(Backoff(first_s=0.2, longest_s=30.0), steady_s=2.0)
NEW = RestartHistory(policy=POLICY)


def test_a_process_that_never_ended_starts_at_once() -> None:
    assert NEW.delay_s() == 0


def test_each_early_end_in_a_row_doubles_the_delay_up_to_the_longest() -> None:
    history, delays = NEW, []
    for _ in range(10):
        history = history.after_end(served_s=1.9)
        delays.append(history.delay_s())
    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])


def test_a_process_that_served_is_restarted_at_once_however_often_it_is_killed() -> None:
    history = NEW
    for kills in range(1, 100):
        history = history.after_end(served_s=2.0)
        assert (history.delay_s(), history.total) == (0, kills)


def test_a_life_that_served_resets_the_delay_of_a_crash_loop() -> None:
    history = NEW
    for served_s in (0.0, 0.0, 0.0, 5.0, 0.0):
        history = history.after_end(served_s)
    assert history == RestartHistory(early=1, total=5, policy=POLICY)
    assert history.delay_s() == 0.2


def test_an_endless_crash_loop_keeps_the_longest_delay() -> None:
    assert RestartHistory(early=1_000_000, total=1_000_000, policy=POLICY).delay_s() == 30
