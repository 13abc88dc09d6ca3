"""Rate, ETA, position and waiting reason of a job. No server, no clock."""

from __future__ import annotations

from typing import Any

import pytest

from api.fleet.snapshot import Fleet, ModelAvailability
from api.jobs.job_descriptions import status_of
from api.jobs.job_views import etag_of, matches, view_of
from api.jobs.progress import poll_after_s, progress_of
from api.jobs.wait_reasons import Reason, is_at_limit, position, rows_ahead, wait_of
from shared.keys import ModelKey
from shared.ledger import JobRecord, JobState, OwnerStanding, QueueOrder, QueuePosition
from shared.worker_records import HeldModel, ModelState, WorkerRecord, WorkerState

KEY = ModelKey("iris@1.0.0")
HELD = ModelAvailability(holders=1)


def record(**changes: Any) -> JobRecord:
    fields: dict[str, Any] = {
        "id": "j",
        "model": "iris",
        "version": "1.0.0",
        "digest": "ab",
        "owner": "o",
        "reference": "",
        "tags": (),
        "priority": 5,
        "state": JobState.RUNNING,
        "created_at_ms": 1_000,
        "started_at_ms": 2_000,
        "finished_at_ms": None,
        "rows_total": 1_000,
        "rows_accepted": 1_000,
        "rows_succeeded": 200,
        "rows_failed": 50,
        "chunks_total": 10,
        "chunks_ended": 2,
        "chunks_leased": 1,
        "error": None,
        "expires_at_ms": None,
        "id_column": "",
        "keep_columns": (),
    }
    return JobRecord(**fields | changes)


def queued(**changes: Any) -> JobRecord:
    fresh: dict[str, Any] = {"state": JobState.QUEUED, "started_at_ms": None, "chunks_leased": 0}
    return record(**fresh | {"rows_succeeded": 0, "rows_failed": 0} | changes)


def standing(job_id: str, served: float, rows_left: int, priority: int = 0) -> QueuePosition:
    return QueuePosition(job_id=job_id, served=served, rows_left=rows_left, priority=priority)


def line(*jobs: QueuePosition, now_ms: int = 7_000) -> QueueOrder:
    return QueueOrder(now_ms=now_ms, jobs=jobs)


def test_a_running_job_goes_on_at_the_rate_that_it_had() -> None:
    progress = progress_of(record(), 7_000, model_rows_per_s=9_999, rows_ahead=5)
    assert (progress.percent, progress.rows_per_s, progress.eta_s) == (25.0, 50.0, 15.0)


def test_a_job_whose_rows_differ_in_cost_has_a_wide_range() -> None:
    """Its first rows ran at 50/s, and its model now runs at 5/s: an ETA of 15 s or 150 s."""
    progress = progress_of(record(chunks_ended=100), 7_000, model_rows_per_s=5, rows_ahead=0)
    assert progress.eta_s == 15.0
    assert progress.eta_low_s == pytest.approx(15 / 1.1, abs=0.1)
    assert progress.eta_high_s == pytest.approx(150 * 1.1, abs=0.1)


def test_a_range_narrows_as_chunks_end() -> None:
    widths = []
    for ended in (1, 4, 100):
        progress = progress_of(record(chunks_ended=ended), 7_000, model_rows_per_s=50, rows_ahead=0)
        assert progress.eta_low_s is not None
        assert progress.eta_high_s is not None
        assert progress.eta_low_s <= 15.0 <= progress.eta_high_s
        widths.append(progress.eta_high_s / progress.eta_low_s)
    assert widths == pytest.approx([4, 2.25, 1.21], abs=0.02)


@pytest.mark.parametrize(
    ("job", "model_rows_per_s"),
    [(queued(chunks_ended=0), 100.0), (record(chunks_ended=0), 100.0), (record(), 0.0)],
)
def test_an_unknown_range_is_null(job: JobRecord, model_rows_per_s: float) -> None:
    progress = progress_of(job, 7_000, model_rows_per_s=model_rows_per_s, rows_ahead=0)
    assert (progress.eta_low_s, progress.eta_high_s) == (None, None)


def test_a_queued_job_waits_for_the_rows_ahead_at_the_rate_of_its_model() -> None:
    progress = progress_of(queued(), 7_000, model_rows_per_s=100, rows_ahead=500)
    assert (progress.percent, progress.rows_per_s, progress.eta_s) == (0.0, None, 15.0)


@pytest.mark.parametrize(
    "job",
    [
        record(state=JobState.UPLOADING, rows_total=None),
        record(state=JobState.PAUSED),
        record(state=JobState.SUCCEEDED, finished_at_ms=9_000),
    ],
)
def test_a_job_that_is_uploading_paused_or_over_has_no_eta(job: JobRecord) -> None:
    assert progress_of(job, 7_000, model_rows_per_s=100, rows_ahead=0).eta_s is None


def test_without_any_rate_there_is_no_eta() -> None:
    assert progress_of(queued(), 7_000, model_rows_per_s=0, rows_ahead=0).eta_s is None


def test_an_ended_jobs_rate_is_that_of_its_life() -> None:
    ended = record(state=JobState.SUCCEEDED, rows_succeeded=1_000, rows_failed=0, finished_at_ms=4_000)
    progress = progress_of(ended, 999_999, model_rows_per_s=0, rows_ahead=0)
    assert (progress.percent, progress.rows_per_s) == (100.0, 500.0)


@pytest.mark.parametrize(
    ("pauses", "rows_per_s"),
    [
        ({"paused_ms": 3_000}, 125.0),
        ({"paused_at_ms": 5_000, "state": JobState.PAUSED}, 83.3),
        (
            {"paused_at_ms": 5_000, "paused_ms": 1_000, "state": JobState.CANCELED, "finished_at_ms": 9_000},
            125.0,
        ),
    ],
)
def test_pauses_do_not_slow_a_jobs_rate(pauses: dict[str, Any], rows_per_s: float) -> None:
    job = record(**pauses)
    assert progress_of(job, 7_000, model_rows_per_s=0, rows_ahead=0).rows_per_s == rows_per_s


def test_a_job_is_at_100_percent_only_once_every_row_has_run() -> None:
    nearly = record(rows_total=1_000_000, rows_succeeded=999_999, rows_failed=0)
    assert progress_of(nearly, 7_000, model_rows_per_s=0, rows_ahead=0).percent == 99.99


def test_the_poll_interval_follows_the_eta_or_the_age() -> None:
    def after(job: JobRecord, now_ms: int) -> int | None:
        progress = progress_of(job, now_ms, model_rows_per_s=0, rows_ahead=0)
        return poll_after_s(job, progress, now_ms)

    assert after(record(), 7_000) == 15
    assert after(record(rows_succeeded=949), 7_000) == 1
    assert after(queued(), 1_500) == 1
    assert after(queued(), 51_000) == 5
    assert after(queued(), 10_000_000) == 30
    assert after(record(state=JobState.CANCELED, finished_at_ms=5_000), 7_000) is None


def test_rows_ahead_are_those_that_the_fair_order_runs_before_the_jobs_end() -> None:
    fair = line(standing("small", 0, 100), standing("large", 0, 5_000_000), standing("short", 0, 10))
    assert rows_ahead(fair, "small") == 100 + 10
    weighted = line(standing("light", 0, 100, priority=0), standing("heavy", 0, 10_000, priority=9))
    assert rows_ahead(weighted, "light") == 1_000
    assert rows_ahead(weighted, "heavy") == 100
    later = line(standing("other", 40, 1_000), standing("own", 50, 100))
    assert rows_ahead(later, "own") == 110
    assert rows_ahead(later, "unknown") is None


def test_a_position_is_the_place_in_the_fair_order() -> None:
    assert position(line(standing("a", 0, 1), standing("b", 0, 1)), "b") == 2
    assert position(line(), "b") is None


def shared_line(*jobs: QueuePosition, weight: float = 1.0) -> QueueOrder:
    """A queue with jobs of the owners `a`, which has been served 100 rows, and `b`."""
    a = OwnerStanding(owner="a", served=100.0, jobs=3)
    return QueueOrder(
        now_ms=7_000, jobs=jobs, owners=(OwnerStanding(owner="b", served=100.0, weight=weight), a)
    )


def of(owner: str, job_id: str, served: float = 0, rows_left: int = 100) -> QueuePosition:
    return QueuePosition(
        job_id=job_id, owner=owner, served=served, rows_left=rows_left, priority=0, chunk_rows=10.0
    )


MANY = [of("a", f"a{place}") for place in range(3)]


def test_a_job_waits_for_as_many_rows_of_another_owner_as_its_own_owner_gets() -> None:
    assert rows_ahead(shared_line(*MANY, of("b", "b", rows_left=50)), "b") == 50
    assert rows_ahead(shared_line(*MANY, of("b", "b", rows_left=1_000)), "b") == 300
    assert rows_ahead(shared_line(*MANY, of("b", "b", rows_left=50), weight=5), "b") == 10


def test_a_job_waits_for_its_owners_other_jobs_and_for_the_other_owner_meanwhile() -> None:
    assert rows_ahead(shared_line(*MANY, of("b", "b", rows_left=50)), "a0") == 200 + 50
    mates = of("b", "b0", rows_left=20), of("b", "b1", rows_left=40)
    assert rows_ahead(shared_line(*MANY, *mates), "b0") == 20 + 40


def test_positions_alternate_between_owners() -> None:
    fair = shared_line(*MANY, of("b", "b0", served=5), of("b", "b1", served=6))
    order = sorted((standing.job_id for standing in fair.jobs), key=lambda one: position(fair, one) or 0)
    assert order == ["a0", "b0", "a1", "b1", "a2"]


def test_a_job_of_an_owner_at_its_limit_waits_for_that_reason() -> None:
    limited = QueueOrder(now_ms=1, jobs=(), owners=(OwnerStanding(owner="o", at_limit=True),))
    assert is_at_limit(limited, "o")
    assert not is_at_limit(limited, "p")
    wait = wait_of(queued(), HELD, 10, at_limit=True)
    assert wait is not None
    assert wait.reason is Reason.AT_LIMIT
    assert wait_of(record(), HELD, 10, at_limit=True) is None  # a chunk of it runs


@pytest.mark.parametrize(
    ("job", "availability", "ahead", "reason"),
    [
        (record(state=JobState.PAUSED), HELD, 0, Reason.PAUSED),
        (queued(), ModelAvailability(), 0, Reason.NO_WORKER),
        (record(), ModelAvailability(), 0, Reason.NO_WORKER),
        (queued(), ModelAvailability(loading=2), 0, Reason.WORKERS_LOADING),
        (queued(), ModelAvailability(drained=2), 0, Reason.WORKERS_DRAINED),
        (queued(), ModelAvailability(drained=2, loading=1), 0, Reason.WORKERS_LOADING),
        (
            queued(digest="old"),
            ModelAvailability(holders=1, digests=frozenset(["new"])),
            9,
            Reason.OTHER_ARTIFACT,
        ),
        (queued(digest="old"), ModelAvailability(holders=2, digests=frozenset(["new", "old"])), 0, None),
        (queued(), ModelAvailability(failures=("it is broken",), loading=1), 0, Reason.WORKERS_FAILING),
        (queued(), ModelAvailability(loading=1, restarts=2), 0, Reason.WORKERS_FAILING),
        (queued(), ModelAvailability(loading=1, restarts=1), 0, Reason.WORKERS_LOADING),
        (queued(), HELD, 70, Reason.BEHIND),
        (queued(), HELD, 0, None),
        (record(), HELD, 70, None),
        (record(state=JobState.CANCELING), ModelAvailability(), 0, None),
        (record(state=JobState.SUCCEEDED), ModelAvailability(), 0, None),
        (queued(state=JobState.UPLOADING, rows_total=None, rows_accepted=0), ModelAvailability(), None, None),
        (queued(state=JobState.UPLOADING, rows_total=None), ModelAvailability(), 0, Reason.NO_WORKER),
    ],
)
def test_a_job_has_a_reason_for_waiting(
    job: JobRecord, availability: ModelAvailability, ahead: int | None, reason: Reason | None
) -> None:
    wait = wait_of(job, availability, ahead)
    assert (wait and wait.reason) == reason


def test_the_error_of_a_model_that_does_not_load_is_in_the_detail() -> None:
    wait = wait_of(queued(), ModelAvailability(failures=("no such file",)), 0)
    assert wait is not None
    assert "no such file" in wait.detail


FOREIGN = (
    "\x1b[1mOSError\x1b[0m: cannot read /srv/takt/models/iris/1.0.0/model.joblib. "
    "Please see https://example.org. Set FOO=1 to debug.\nTraceback …"
)


def test_the_error_of_a_load_has_no_paths_escape_codes_and_advice() -> None:
    wait = wait_of(queued(), ModelAvailability(failures=(FOREIGN,)), 0)
    assert wait is not None
    assert wait.detail == "Workers cannot load iris@1.0.0: OSError: cannot read model.joblib."


def worker(name: str, state: WorkerState, model: HeldModel | None) -> WorkerRecord:
    models = {} if model is None else {str(KEY): model}
    return WorkerRecord(
        id=f"{name}:1", host="h", pid=1, device="cpu", state=state, started_at="", models=models
    )


def test_rates_add_up_over_the_workers_and_are_unknown_if_any_is_unknown() -> None:
    def fleet(*rates: float) -> Fleet:
        held = [HeldModel(state=ModelState.LOADED, rows_per_s=1.0, slice_rows_per_s=rate) for rate in rates]
        workers = (worker(str(n), WorkerState.SERVING, model) for n, model in enumerate(held))
        return Fleet(workers=tuple(workers))

    assert (fleet(30.0, 50.0).slice_rates[KEY], fleet(30.0, 50.0).rates[KEY]) == (80.0, 2.0)
    assert fleet(30.0, 0.0).slice_rates[KEY] == 0.0


def test_the_availability_of_a_model_counts_holders_loading_and_drained_workers_and_failures() -> None:
    loaded, loading = HeldModel(state=ModelState.LOADED), HeldModel(state=ModelState.LOADING)
    failed = HeldModel(state=ModelState.FAILED, reason="why")
    fleet = Fleet(
        workers=(
            worker("a", WorkerState.SERVING, loaded),
            worker("b", WorkerState.SERVING, failed),
            worker("c", WorkerState.STARTING, loading),
            worker("d", WorkerState.STARTING, None),
            worker("e", WorkerState.DRAINING, loaded),
            worker("f", WorkerState.SERVING, loading),
        ),
        lives={"a": 9, "c": 4, "f": 6, "gone": 2},
    )
    expected = ModelAvailability(holders=1, loading=3, drained=1, failures=("why",), restarts=5)
    assert fleet.availability(KEY) == expected


def test_an_etag_changes_with_the_job_and_not_with_the_time() -> None:
    def etag(job: JobRecord, now_ms: int, *others: QueuePosition) -> str:
        job_line = line(standing("j", 0, 5), *others, now_ms=now_ms)
        return etag_of(view_of(job, status_of(job, job_line, Fleet())))

    first = etag(record(), 7_000)
    assert etag(record(), 8_000, standing("other", 0, 70)) == first
    for changed in (record(rows_succeeded=201), record(state=JobState.PAUSED), record(priority=6)):
        assert etag(changed, 7_000) != first


def test_a_known_etag_is_recognized_weakly_and_in_a_list() -> None:
    assert matches('W/"a"', 'W/"a"')
    assert matches('"b", "a"', 'W/"a"')
    assert matches("*", 'W/"a"')
    assert not matches('W/"b"', 'W/"a"')
    assert not matches(None, 'W/"a"')
