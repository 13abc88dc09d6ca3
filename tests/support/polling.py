"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, limit_s: float = 30.0, every_s: float = 0.02) -> T:
    """Return the first true result of `condition`. Raises AssertionError after the time limit."""
    end_s = time.monotonic() + limit_s
    while not (answer := condition()):
        assert time.monotonic() < end_s, (
            f"not true within {limit_s} s: {getattr(condition, '__name__', condition)}"
        )
        time.sleep(every_s)
    return answer
