"""A single worker shares itself: small jobs do not wait for the end of a large job."""

from __future__ import annotations

import httpx
import pytest

from tests.large.conftest import Say
from tests.support.fairness import MOST_S, behind, seconds_of

pytestmark = [pytest.mark.large, pytest.mark.timeout(600)]

ROUNDS = 3


def test_small_jobs_of_the_same_and_of_another_model_end_soon_behind_a_large_job(
    http: httpx.Client, job_rows: int, say: Say
) -> None:
    with behind(http, job_rows) as large:
        took_s = {model: [seconds_of(http, model) for _ in range(ROUNDS)] for model in ("iris", "quality")}
        left = large()
    for model, rounds in took_s.items():
        say(f"1,000 rows of {model} behind {job_rows:,}: {', '.join(f'{s:.2f} s' for s in rounds)}")
    say(
        f"the large job then: {left['state']}, {left['rows_succeeded']:,} rows, {left['rows_per_s']:,} rows/s"
    )
    assert left["state"] == "running"
    assert max(map(max, took_s.values())) < MOST_S
