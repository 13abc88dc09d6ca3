"""Responses, stored data and logs of a gateway stay bounded, however many errors a request has.

`python -m tests.fuzz.sizes` sends 10,000 random requests with a Valkey; this test sends a few fixed requests.
"""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.sizes import MOST_BYTES, measure
from tests.unit.gateway_fakes import FakeRedis


async def test_no_malformed_request_makes_a_large_answer_record_or_log_line(tmp_path: Path) -> None:
    sizes = await measure(FakeRedis(), tmp_path, cases=60, seed=13)
    assert sizes.found == []
    assert 0 < sizes.largest["answer"] <= MOST_BYTES
    assert sizes.largest["record"] > 0, "some bodies became jobs"
    assert sizes.statuses[422] > 10
