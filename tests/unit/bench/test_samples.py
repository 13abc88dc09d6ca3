"""A load's log: samples, percentiles, and which of them count."""

from __future__ import annotations

import pytest

from bench.samples import NO_ANSWER, Sample, broken_requests, measure, parse_log, percentile

H2LOAD = """\
finished in 1.00s, 2.00 req/s, 0B/s
requests: 12 total, 12 started, 12 done, 9 succeeded, 3 failed, 2 errored, 1 timeout
status codes: 9 2xx, 0 3xx, 0 4xx, 0 5xx
"""


def samples(*rows: tuple[float, int, float]) -> list[Sample]:
    """(start in s, status, took in ms), an hour after the epoch."""
    return [Sample(3_600_000_000 + round(s * 1e6), status, round(ms * 1000)) for s, status, ms in rows]


def test_each_line_of_h2loads_log_is_a_request() -> None:
    log = "1795381712144894\t200\t300436\n1795381712144868\t503\t212\n"
    assert list(parse_log(log)) == [
        Sample(1795381712144894, 200, 300436),
        Sample(1795381712144868, 503, 212),
    ]


def test_columns_that_h2load_may_add_later_are_passed_over() -> None:
    assert list(parse_log("10\t200\t30\tmore\n")) == [Sample(10, 200, 30)]


def test_a_last_line_that_was_cut_short_is_left_out() -> None:
    assert list(parse_log("10\t200\t30\n20\t20")) == [Sample(10, 200, 30)]


def test_a_log_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        list(parse_log("connection refused\n"))


def test_requests_without_an_answer_are_read_from_the_summary() -> None:
    assert broken_requests(H2LOAD) == 3


def test_an_output_without_a_summary_is_refused() -> None:
    with pytest.raises(ValueError, match="requests"):
        broken_requests("h2load: unknown option")


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 5), (51, 6), (90, 9), (99, 10), (100, 10)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, value: float) -> None:
    assert percentile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], percent) == value


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 50) is None


def test_answers_count_where_they_end_within_the_measured_seconds() -> None:
    seen = samples((0, 200, 900), (0.9, 200, 200), (1.1, 200, 400), (2.9, 200, 90), (2.95, 200, 100))
    measured = measure(seen, connections=1, warm_up_s=1, seconds=2)
    assert (measured.good, measured.rps) == (3, 1.5)
    assert (measured.p50_ms, measured.p99_ms) == (200, 400)


def test_answers_other_than_2xx_are_counted_apart_and_their_times_left_out() -> None:
    seen = samples((0, 200, 500), (0.6, 503, 1), (0.7, 422, 1))
    measured = measure(seen, connections=1, warm_up_s=0, seconds=1)
    assert (measured.good, measured.bad, measured.p50_ms) == (1, 2, 500)


def test_a_request_without_an_answer_is_bad_once() -> None:
    seen = samples((0, 200, 500), (0.1, NO_ANSWER, 10))
    assert measure(seen, connections=2, warm_up_s=0, seconds=1, broken=1).bad == 1


def test_a_load_without_a_good_answer_has_no_times() -> None:
    measured = measure([], connections=1, warm_up_s=1, seconds=1, broken=4)
    assert (measured.good, measured.bad, measured.rps, measured.p50_ms) == (0, 4, 0, None)


def test_times_are_bounds_until_every_connection_was_answered_in_the_warm_up() -> None:
    seen = samples((0, 200, 500), (0.0, 200, 800), (0.5, 200, 800))
    assert measure(seen, connections=2, warm_up_s=1, seconds=1).steady
    assert not measure(seen, connections=3, warm_up_s=1, seconds=1).steady
