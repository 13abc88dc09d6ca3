"""Admission decisions, and retry times of rejected clients."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from api.fleet.snapshot import Fleet
from api.online.admission_policy import (
    MOST_RETRY_S,
    RetrySchedule,
    Traffic,
    admit,
    not_loaded,
    traffic_of,
)
from api.online.inflight import InflightRequests
from shared.errors import DeadlineExceededError, ModelNotLoadedError, OverloadedError
from shared.keys import ModelKey, model_key
from shared.model_identity import ModelIdentity
from shared.worker_records import (
    HeldModel,
    ModelsMemory,
    ModelState,
    OnDemandVersion,
    WorkerRecord,
    WorkerState,
)
from tests.support.specimens import declaration

KEY, OTHER = model_key("iris", "1.0.0"), model_key("quality", "1.0.0")
QUIET = Traffic(
    holders=1,
    rows_per_s=100.0,
    backlog_s=0.0,
    own_share=1.0,
    batch_rows=50,
    inflight_rows=0,
    max_inflight_rows=1000,
)


def enter(
    traffic: Traffic, *, rows: int = 1, wait_s: float = 10.0, retries: RetrySchedule | None = None
) -> None:
    admit(traffic, KEY, rows, wait_s, retries=retries or RetrySchedule(), now_s=50.0)


def retry_s(
    traffic: Traffic, *, rows: int = 1, wait_s: float = 10.0, retries: RetrySchedule | None = None
) -> float:
    with pytest.raises(OverloadedError) as refusal:
        enter(traffic, rows=rows, wait_s=wait_s, retries=retries)
    assert refusal.value.retry_after_s is not None
    return refusal.value.retry_after_s


def test_a_model_that_no_live_worker_holds_is_refused_with_a_time_to_come_back() -> None:
    with pytest.raises(ModelNotLoadedError) as refusal:
        enter(replace(QUIET, holders=0))
    assert refusal.value.retry_after_s


def test_a_model_that_is_loaded_on_demand_is_admitted_though_no_worker_holds_it() -> None:
    enter(replace(QUIET, holders=0, rows_per_s=0.0, on_demand=True))


def test_a_model_on_demand_for_which_there_is_no_room_is_refused_with_the_reason() -> None:
    cold = worker("w:1")
    fleet = Fleet(workers=(replace(cold, memory=on_demand(reason="iris takes 9 MiB")),))
    assert not traffic_of(KEY, declaration(), fleet, InflightRequests(), 1000).on_demand
    refusal = not_loaded(KEY, fleet.availability(KEY), ModelNotLoadedError(retry_after_s=5.0))
    assert (refusal.detail, refusal.retry_after_s) == ("iris takes 9 MiB", 5.0)


def test_a_model_on_demand_counts_only_with_this_gateways_spec_and_artifact_and_not_while_draining() -> None:
    cold = replace(worker("w:1"), memory=on_demand(digest="a", spec_digest="s"))
    own = {KEY: ModelIdentity("s", "a")}
    assert Fleet(workers=(cold,), identities=own).serves(KEY)
    assert not Fleet(workers=(cold,), identities={KEY: ModelIdentity("s", "b")}).serves(KEY)
    assert not Fleet(workers=(replace(cold, state=WorkerState.DRAINING),), identities=own).serves(KEY)
    full = replace(worker("w:2"), memory=on_demand(reason="full", digest="a", spec_digest="s"))
    assert Fleet(workers=(full, cold), identities=own).serves(KEY)


def on_demand(reason: str = "", digest: str = "", spec_digest: str = "") -> ModelsMemory:
    version = OnDemandVersion(reason=reason, digest=digest, spec_digest=spec_digest)
    return ModelsMemory(on_demand={KEY: version})


def test_a_backlog_that_leaves_time_for_a_batch_is_admitted() -> None:
    enter(replace(QUIET, backlog_s=7.9))  # 85 % of 10 s, less half a second for the last batch


def test_a_backlog_that_would_fill_the_wait_is_refused_until_it_has_shrunk() -> None:
    assert retry_s(replace(QUIET, backlog_s=12.95)) == 5  # 8 s may be filled, 12.96 s would be


def test_a_client_that_waits_longer_is_admitted_to_the_same_backlog() -> None:
    enter(replace(QUIET, backlog_s=12.0), wait_s=20)


def test_half_of_a_wait_may_be_filled_however_long_a_batch_takes() -> None:
    slow = replace(QUIET, rows_per_s=10.0)  # a batch takes 5 s
    enter(replace(slow, backlog_s=1.8), wait_s=4)
    retry_s(replace(slow, backlog_s=2.1), wait_s=4)


def test_a_request_larger_than_its_wait_is_admitted_if_nothing_else_waits() -> None:
    enter(QUIET, rows=1000, wait_s=1)


def test_with_an_unknown_rate_everything_is_admitted_that_the_permits_allow() -> None:
    enter(replace(QUIET, rows_per_s=0, inflight_rows=990), wait_s=1)
    assert retry_s(replace(QUIET, rows_per_s=0, inflight_rows=1000), wait_s=1) == 1


def test_beyond_its_permits_a_gateway_admits_nothing() -> None:
    assert retry_s(replace(QUIET, inflight_rows=1000), rows=200) == 2


def test_a_request_beyond_all_permits_is_admitted_alone() -> None:
    enter(QUIET, rows=1001)


def test_rejected_clients_retry_in_sequence() -> None:
    retries, full = RetrySchedule(), replace(QUIET, backlog_s=8.0)
    turns = [retry_s(full, rows=50, retries=retries) for _ in range(8)]  # each takes half a second
    assert turns == [1, 1, 2, 2, 3, 3, 4, 4]


def test_the_retry_schedule_shortens_with_time() -> None:
    retries = RetrySchedule()
    for _ in range(10):
        retries.place_s(KEY, 50.0, 0.5, 1.0)
    assert retries.place_s(KEY, 50.0, 0.5, 1.0) == pytest.approx(10.5)
    assert retries.place_s(KEY, 60.0, 0.5, 1.0) == pytest.approx(1.5)
    assert retries.place_s(KEY, 90.0, 2.0, 1.0) == pytest.approx(2.0)


def test_the_retry_schedule_is_never_longer_than_the_longest_retry() -> None:
    retries = RetrySchedule()
    assert max(retries.place_s(KEY, 50.0, 0.5, 10.0) for _ in range(20)) == MOST_RETRY_S


def test_a_gateway_with_half_of_the_backlog_schedules_retries_at_half_of_the_rate() -> None:
    retries, full = RetrySchedule(), replace(QUIET, backlog_s=8.0, own_share=0.5)
    assert [retry_s(full, rows=50, retries=retries) for _ in range(4)] == [1, 2, 3, 4]


# -- facts for a decision ------------------------------------------------------------------------------------


def worker(name: str, **rates: float) -> WorkerRecord:
    held = {
        model_key(model, "1.0.0"): HeldModel(state=ModelState.LOADED, rows_per_s=rate)
        for model, rate in rates.items()
    }
    return WorkerRecord(
        id=name,
        host="h",
        pid=1,
        device="cpu",
        state=WorkerState.SERVING,
        started_at="2026-03-02T06:30:00Z",
        models={str(key): model for key, model in held.items()},
    )


def seen(*workers: WorkerRecord, **others_rows: float) -> Traffic:
    rows: dict[ModelKey, float] = {model_key(model, "1.0.0"): n for model, n in others_rows.items()}
    return traffic_of(KEY, declaration(), Fleet(workers=workers, others_rows=rows), InflightRequests(), 1000)


def test_the_backlog_is_the_work_of_all_models_that_share_the_workers() -> None:
    traffic = seen(worker("w:1", iris=100.0, quality=10.0), iris=50, quality=20)
    assert (traffic.backlog_s, traffic.rows_per_s) == (2.5, 100.0)


def test_the_work_of_other_workers_models_does_not_count() -> None:
    traffic = seen(worker("w:1", iris=100.0), worker("w:2", quality=10.0), iris=50, quality=20)
    assert traffic.backlog_s == 0.5


def test_two_workers_are_twice_as_fast() -> None:
    traffic = seen(worker("w:1", iris=100.0), worker("w:2", iris=100.0), iris=50)
    assert (traffic.holders, traffic.rows_per_s, traffic.backlog_s) == (2, 200.0, 0.25)


@pytest.mark.parametrize(
    ("traffic", "rows", "needed"),
    [
        (replace(QUIET, least_call_s=14.0), 1, "14.0 s for this row"),
        (replace(QUIET, most_rows_per_s=100.0), 2000, "20.0 s for these 2000 rows"),
        (replace(QUIET, least_call_s=30.0, backlog_s=100.0), 1, "30.0 s for this row"),
    ],
)
def test_an_idle_model_that_cannot_answer_in_time_is_refused_with_the_wait_that_it_needs(
    traffic: Traffic, rows: int, needed: str
) -> None:
    with pytest.raises(DeadlineExceededError) as refusal:
        enter(traffic, rows=rows, wait_s=10.0)
    assert needed in refusal.value.detail
    named = int(refusal.value.detail.partition("wait=")[2].partition("`")[0])
    enter(replace(traffic, backlog_s=0.0), rows=rows, wait_s=float(named))


def test_a_model_of_which_no_call_was_measured_is_given_a_chance() -> None:
    enter(QUIET, rows=900, wait_s=0.1)


def test_the_shortest_call_of_any_worker_counts() -> None:
    def worker(name: str, least_call_s: float, most_rows_per_s: float) -> WorkerRecord:
        held = HeldModel(
            state=ModelState.LOADED,
            rows_per_s=1.0,
            least_call_s=least_call_s,
            most_rows_per_s=most_rows_per_s,
        )
        return WorkerRecord(
            id=f"{name}:1",
            host="here",
            pid=1,
            device="cpu",
            state=WorkerState.SERVING,
            started_at="2026-01-01T00:00:00Z",
            models={KEY: held},
        )

    spec = declaration(name="iris")
    fleet = Fleet(workers=(worker("a", 12.0, 5.0), worker("b", 3.0, 7.0)))
    traffic = traffic_of(KEY, spec, fleet, InflightRequests(), 1000)
    assert (traffic.least_call_s, traffic.most_rows_per_s) == (3.0, 12.0)
    unknown = Fleet(workers=(worker("a", 12.0, 5.0), worker("b", 0.0, 0.0)))
    traffic = traffic_of(KEY, spec, unknown, InflightRequests(), 1000)
    assert (traffic.least_call_s, traffic.most_rows_per_s) == (0.0, 0.0)
