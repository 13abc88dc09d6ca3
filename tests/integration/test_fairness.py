"""A single worker is shared: small jobs do not wait for the end of a large job."""

from __future__ import annotations

import httpx
import pytest

from tests.support.fairness import MOST_S, behind, seconds_of

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("model", ["iris", "quality"])
def test_a_small_job_ends_soon_behind_a_large_job_of_iris(http: httpx.Client, model: str) -> None:
    with behind(http, 2_000_000) as large:
        assert seconds_of(http, model) < MOST_S
        assert large()["state"] == "running"
