"""The random ids of requests."""

from __future__ import annotations

import re

from api.http.request_middleware import new_request_id


def test_every_id_is_another_across_draws() -> None:
    ids = [new_request_id() for _ in range(1000)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(rb"[0-9a-f]{32}", one) for one in ids)
