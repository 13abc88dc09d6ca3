"""Restart of crashed services."""

from __future__ import annotations

import pytest

from stack.supervisor import Crashes, RestartBackoff

BACKOFF = RestartBackoff(first_s=0.2, factor=2.0, longest_s=30.0, stable_s=60.0)


def test_a_part_that_never_crashed_starts_at_once() -> None:
    assert Crashes().pause_s(BACKOFF) == 0


def test_each_crash_in_a_row_doubles_the_pause_up_to_the_longest() -> None:
    crashes, pauses = Crashes(), []
    for _ in range(10):
        crashes = crashes.after(1.0, BACKOFF)
        pauses.append(crashes.pause_s(BACKOFF))
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])


def test_a_stable_life_forgives_the_crashes_before_it_but_not_its_own() -> None:
    crashes = Crashes(in_row=7, total=7).after(BACKOFF.stable_s, BACKOFF)
    assert crashes == Crashes(in_row=1, total=8)
    assert crashes.pause_s(BACKOFF) == BACKOFF.first_s


def test_a_part_that_crashes_for_ever_keeps_the_longest_pause() -> None:
    assert Crashes(in_row=1_000_000, total=1_000_000).pause_s(BACKOFF) == BACKOFF.longest_s
