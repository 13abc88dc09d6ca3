"""A rollout advances while its rules hold, and ends with the rule that failed and its figures."""

from __future__ import annotations

import pytest
from msgspec import structs

from shared.history import Count, SlotCounts, latency_bucket
from shared.rollouts import (
    ABSENT_LIMIT_S,
    Rollout,
    RolloutRequest,
    RolloutState,
    Rules,
    StartedGate,
    next_rollout,
)
from shared.shadowing import ShadowCount, ShadowFigures

ROLLOUT = Rollout(
    id="r", of="1.0.0", to="1.1.0", steps=(10.0, 50.0, 100.0), hold_s=60, rules=Rules(min_requests=100)
)


def counts(requests: int, errors: int = 0, ms: float = 2.0) -> SlotCounts:
    found = SlotCounts()
    found.counts.update({Count.REQUESTS: requests, Count.ERRORS: errors})
    found.latencies[latency_bucket(ms)] += requests
    return found


def after(
    rollout: Rollout = ROLLOUT,
    elapsed_s: float = 60,
    new: SlotCounts | None = None,
    old: SlotCounts | None = None,
    *,
    held: bool = True,
) -> Rollout | None:
    return next_rollout(rollout, elapsed_s, new or counts(100), old or counts(900), held=held)


def test_it_takes_each_step_and_is_promoted_after_the_last() -> None:
    seen, rollout = [], ROLLOUT
    while rollout.running:
        seen.append(rollout.split)
        found = after(rollout)
        assert found is not None
        rollout = found
    assert seen == [
        {"1.0.0": 90, "1.1.0": 10},
        {"1.0.0": 50, "1.1.0": 50},
        {"1.0.0": 0, "1.1.0": 100},
    ]
    assert rollout.state is RolloutState.PROMOTED


@pytest.mark.parametrize(
    ("elapsed_s", "new"), [(59.9, counts(500)), (600, counts(99)), (0, counts(0)), (59, counts(50, 1))]
)
def test_it_waits_for_the_time_and_the_requests(elapsed_s: float, new: SlotCounts) -> None:
    assert after(elapsed_s=elapsed_s, new=new) is None


@pytest.mark.parametrize(
    ("new", "old", "reason"),
    [
        (counts(98, 2), counts(900), "max_error_rate: 2 of 100 requests failed (2.00%); 1.00% are permitted"),
        (counts(0, 2), counts(900), "max_error_rate: 2 of 2 requests failed"),
        (counts(100, ms=8), counts(900, ms=2), "max_p99_ratio: p99 is"),
    ],
)
def test_a_failed_rule_ends_it_at_once_and_says_which(new: SlotCounts, old: SlotCounts, reason: str) -> None:
    found = after(elapsed_s=1, new=new, old=old)
    assert found is not None
    assert found.state is RolloutState.ROLLED_BACK
    assert reason in found.reason


def test_one_error_in_few_requests_decides_nothing() -> None:
    assert after(new=counts(3, 1)) is None


def test_it_waits_for_a_worker_and_gives_up_in_the_end() -> None:
    assert after(held=False) is None
    found = after(elapsed_s=ABSENT_LIMIT_S, held=False)
    assert found is not None
    assert "no worker holds it" in found.reason


def test_steps_must_ascend() -> None:
    assert RolloutRequest(to="1.1.0").problem() is None
    assert RolloutRequest(to="1.1.0", steps=(10.0, 5.0)).problem() == (
        "steps: each must be greater than the one before"
    )


def shadowed(agreed: int, differed: int = 0, failed: int = 0) -> ShadowFigures:
    found = ShadowFigures()
    counts = {ShadowCount.AGREED: agreed, ShadowCount.DIFFERED: differed, ShadowCount.FAILED: failed}
    found.counts.update(counts)
    return found


SHADOWED = structs.replace(ROLLOUT, rules=Rules(min_requests=100, max_disagreement=0.02))


def after_shadow(shadow: ShadowFigures, rollout: Rollout = SHADOWED) -> Rollout | None:
    return next_rollout(rollout, 60, counts(100), counts(900), held=True, shadow=shadow)


def test_a_step_waits_for_compared_rows_and_goes_on_within_the_limit() -> None:
    assert after_shadow(shadowed(99)) is None
    found = after_shadow(shadowed(98, 1, 1))
    assert found is not None
    assert found.step == 1
    last = structs.replace(SHADOWED, step=2)
    promoted = after_shadow(shadowed(0), last)
    assert promoted is not None, "the old version answers nothing that could be compared"
    assert promoted.state is RolloutState.PROMOTED


def test_disagreement_ends_it_as_soon_as_agreement_could_not_repair_it() -> None:
    assert after_shadow(shadowed(0, 2)) is None
    found = after_shadow(shadowed(10, 1, 2))
    assert found is not None
    assert found.state is RolloutState.ROLLED_BACK
    assert found.reason == ("max_disagreement: 3 of 13 shadowed rows differ (23.08%); 2.00% are permitted")


def test_a_gate_moves_nothing_and_starts_no_shadow_until_it_has_passed() -> None:
    gated = structs.replace(SHADOWED, gate=StartedGate(replay="a", job="b"))
    assert (gated.gated, gated.percent, gated.shadows) == (True, 0, False)
    passed = structs.replace(gated, gate=StartedGate(replay="a", job="b", passed=True))
    assert (passed.gated, passed.percent, passed.shadows) == (False, 10, True)


def timed(requests: int, predict_ms: float) -> SlotCounts:
    found = counts(requests)
    found.counts[Count.PREDICT_US] = round(requests * predict_ms * 1000)
    return found


def test_a_version_whose_calls_take_longer_is_rolled_back_with_both_times() -> None:
    found = after(new=timed(100, 80.0), old=timed(900, 40.0))
    assert found is not None
    assert found.state is RolloutState.ROLLED_BACK
    assert found.reason == (
        "max_predict_ratio: a model call takes 80.0 ms against 40.0 ms (2.00 ×); 1.5 × is permitted"
    )


@pytest.mark.parametrize(("ours", "theirs"), [(0.9, 0.1), (59.0, 40.0), (5.0, 40.0)])
def test_a_difference_of_calls_within_the_limits_ends_nothing(ours: float, theirs: float) -> None:
    found = after(new=timed(100, ours), old=timed(900, theirs))
    assert found is not None
    assert found.running


def test_calls_of_the_version_with_the_larger_batches_are_not_compared() -> None:
    beyond_half = structs.replace(ROLLOUT, steps=(75.0, 100.0))
    found = after(beyond_half, new=timed(300, 80.0), old=timed(100, 40.0))
    assert found is not None
    assert found.running
