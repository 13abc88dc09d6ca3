"""Who may enter the online lane."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.admission import Traffic, admit, backlog_rows
from shared.errors import ModelNotLoaded, Overloaded
from shared.keys import model_key

KEY = model_key("iris", "1.0.0")
QUIET = Traffic(holders=1, rows_per_s=100.0, backlog_rows=0, inflight_rows=0, max_inflight_rows=1000)


def test_a_model_that_no_live_worker_holds_is_refused_with_a_time_to_come_back() -> None:
    with pytest.raises(ModelNotLoaded) as refusal:
        admit(replace(QUIET, holders=0), KEY, rows=1, wait_s=10)
    assert refusal.value.retry_after_s


def test_a_backlog_that_fits_the_wait_is_admitted() -> None:
    admit(replace(QUIET, backlog_rows=1000), KEY, rows=1, wait_s=10)


def test_a_backlog_longer_than_the_wait_is_refused_until_it_would_fit() -> None:
    with pytest.raises(Overloaded) as refusal:
        admit(replace(QUIET, backlog_rows=1500), KEY, rows=1, wait_s=10)
    assert refusal.value.retry_after_s == 5  # 500 rows too many, at 100 rows a second


def test_a_client_that_waits_longer_is_admitted_to_the_same_backlog() -> None:
    admit(replace(QUIET, backlog_rows=1500), KEY, rows=1, wait_s=20)


def test_a_request_larger_than_its_wait_is_tried_where_nothing_else_waits() -> None:
    admit(QUIET, KEY, rows=1000, wait_s=1)


def test_with_an_unknown_rate_everything_is_admitted_that_the_permits_allow() -> None:
    admit(replace(QUIET, rows_per_s=0, backlog_rows=10_000), KEY, rows=1, wait_s=1)


def test_beyond_its_permits_a_gateway_admits_nothing() -> None:
    with pytest.raises(Overloaded) as refusal:
        admit(replace(QUIET, inflight_rows=1000), KEY, rows=200, wait_s=10)
    assert refusal.value.retry_after_s == 2


def test_a_request_beyond_all_permits_is_admitted_alone() -> None:
    admit(QUIET, KEY, rows=1001, wait_s=10)


@pytest.mark.parametrize(
    ("entries", "own_rows", "own_entries", "rows"),
    [
        (0, 0, 0, 0),
        (7, 0, 0, 7),  # other gateways' entries, of unknown size
        (0, 640, 10, 640),  # our own, newer than the snapshot
        (30, 640, 10, 1920),  # ours and others', of the size of ours
    ],
)
def test_the_backlog_is_what_the_stream_holds_or_what_we_sent(
    entries: int, own_rows: int, own_entries: int, rows: float
) -> None:
    assert backlog_rows(entries, own_rows, own_entries) == rows
