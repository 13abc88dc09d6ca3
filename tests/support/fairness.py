"""Times of small jobs behind a large job, from the first byte to the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support.bodies import arrow_stream
from tests.support.callers import finished, handed_over
from tests.support.polling import eventually
from tests.support.samples import Drawn, flowers, parts

SMALL: Mapping[str, Drawn] = {"iris": flowers, "quality": parts}
SMALL_ROWS = 1000
MOST_S = 5.0
_DRAWN_ROWS = 100_000
"""Rows that the large job repeats."""


@contextmanager
def behind(http: httpx.Client, rows: int) -> Iterator[Callable[[], dict[str, Any]]]:
    """Run an iris job during the block and cancel it afterwards. Yields a function for its current state."""
    location = handed_over(http, "iris", arrow_stream(flowers(min(rows, _DRAWN_ROWS)), rows))
    try:
        eventually(lambda: http.get(location).json()["rows_succeeded"] > 0)
        yield lambda: dict(http.get(location).raise_for_status().json())
    finally:
        http.post(f"{location}/cancel")
        finished(http, location)


def seconds_of(http: httpx.Client, model: str) -> float:
    """Submit a small job and wait for its end."""
    began_s = time.monotonic()
    job = finished(http, handed_over(http, model, arrow_stream(SMALL[model](SMALL_ROWS), SMALL_ROWS)))
    took_s = time.monotonic() - began_s
    assert (job["state"], job["rows_succeeded"]) == ("succeeded", SMALL_ROWS), job
    return took_s
