"""Rollouts: moving requests from one version of a model to another, step by step, under rules.

A rollout is a part of the model's deployment, so that each step is one change of one record: it happens
completely or not at all, and only once, whichever gateway makes it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field, structs

from shared.history import Count, SlotCounts
from shared.shadowing import ShadowFigures

ABSENT_LIMIT_S = 900.0
"""A rollout ends if no worker holds its version for this long."""
_P99 = 0.99
EQUAL_PERCENT = 50.0
"""Beyond this share the new version has the larger batches, so that its calls take longer in any case."""
LEAST_SLOWER_MS = 1.0
"""A smaller difference between model calls ends no rollout, whatever its ratio."""
NO_SHADOW = ShadowFigures()


class RolloutState(StrEnum):
    RUNNING = "running"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


class Rules(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Conditions of the next step. A rule that fails ends the rollout."""

    max_error_rate: Annotated[float, Meta(ge=0, le=1)] = 0.01
    """Of the new version's requests: answers with 5xx."""
    max_p99_ratio: Annotated[float, Meta(gt=0)] = 1.5
    """99th percentile of the new version's durations over that of the old version, in the same time."""
    max_predict_ratio: Annotated[float, Meta(gt=0)] = 1.5
    """Mean time of the new version's model calls over that of the old version. Unlike the durations of
    requests, it does not contain the wait for calls of the other version."""
    min_requests: Annotated[int, Meta(ge=1)] = 200
    """Requests that the new version must have answered in a step before the next step."""
    max_disagreement: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Of the rows that the old version has answered and the new one ran as a shadow; None: no shadow."""
    shadow_share: Annotated[float, Meta(gt=0, le=1)] = 0.1
    """Of the old version's requests, for `max_disagreement`."""
    tolerance: Annotated[float, Meta(ge=0)] = 0.0
    """Absolute difference of numbers within which answers agree."""


class Gate(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A replay of a job on the new version, which must agree with the job before the first step."""

    replay: str
    """The job of which the rows run again."""
    max_disagreement: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Of its rows."""
    tolerance: Annotated[float, Meta(ge=0)] = 0.0


class StartedGate(Gate, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=False):
    """A gate with its progress."""

    job: str
    """The replay."""
    figures: str = ""
    """The outcome of the comparison; empty before."""
    passed: bool = False


class RolloutRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /models/{name}/rollouts`."""

    to: str
    steps: Annotated[tuple[Annotated[float, Meta(gt=0, le=100)], ...], Meta(min_length=1, max_length=20)] = (
        1.0,
        10.0,
        50.0,
        100.0,
    )
    """Percent of the requests for the new version, ascending."""
    hold_s: Annotated[float, Meta(ge=1, le=604_800)] = 300.0
    """Shortest duration of a step."""
    rules: Rules = Rules()
    gate: Gate | None = None
    reason: Annotated[str, Meta(max_length=500)] = ""

    def problem(self) -> str | None:
        """Why the steps cannot be taken; None: they can."""
        if list(self.steps) != sorted(set(self.steps)):
            return "steps: each must be greater than the one before"
        return None


class Rollout(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"of": "from"}):
    """A rollout as it is stored."""

    id: str
    of: str  # the version that is replaced
    to: str
    steps: tuple[float, ...]
    hold_s: float
    rules: Rules = field(default_factory=Rules)
    step: int = 0
    state: RolloutState = RolloutState.RUNNING
    reason: str = ""
    """Why it ended."""
    gate: StartedGate | None = None

    @property
    def gated(self) -> bool:
        """Whether its gate has not passed yet, so that no request has moved."""
        return self.gate is not None and not self.gate.passed

    @property
    def shadows(self) -> bool:
        """Whether the new version runs as a shadow of the old one in its steps."""
        return self.running and not self.gated and self.rules.max_disagreement is not None

    @property
    def running(self) -> bool:
        return self.state is RolloutState.RUNNING

    @property
    def percent(self) -> float:
        return 0.0 if self.gated else self.steps[self.step]

    @property
    def split(self) -> dict[str, float]:
        """The split of the present step."""
        return {self.of: 100 - self.percent, self.to: self.percent}


def next_rollout(
    rollout: Rollout,
    elapsed_s: float,
    new: SlotCounts,
    old: SlotCounts,
    *,
    held: bool,
    shadow: ShadowFigures = NO_SHADOW,
) -> Rollout | None:
    """The rollout after its next change; None: it stays as it is for now.

    `elapsed_s`: since the present step began. `new`, `old`: what both versions answered in this step. `held`:
    whether a worker holds the new version. `shadow`: the new version's answers to the old one's requests.
    """
    if not held:
        late = elapsed_s >= ABSENT_LIMIT_S
        return rolled_back(rollout, f"no worker holds it for {ABSENT_LIMIT_S:g} s") if late else None
    problem = (
        broken_rule(rollout.rules, new, old)
        or _slower_calls(rollout, new, old)
        or _disagreement(rollout.rules, shadow)
    )
    if problem:
        return rolled_back(rollout, problem)
    if elapsed_s < rollout.hold_s or _answered(new) < rollout.rules.min_requests:
        return None
    if rollout.shadows and rollout.percent < 100 and shadow.compared < rollout.rules.min_requests:
        return None
    if rollout.step + 1 < len(rollout.steps):
        return structs.replace(rollout, step=rollout.step + 1)
    return structs.replace(rollout, state=RolloutState.PROMOTED, reason="all steps passed")


def broken_rule(rules: Rules, new: SlotCounts, old: SlotCounts) -> str | None:
    """Which rule has failed, with its figures; None: none has, as far as there are enough requests."""
    answered, errors = _answered(new), new.counts[Count.ERRORS]
    if errors and _exceeds(errors, answered, rules.max_error_rate, rules):
        rate = errors / answered
        return (
            f"max_error_rate: {errors} of {answered} requests failed ({rate:.2%}); "
            f"{rules.max_error_rate:.2%} are permitted"
        )
    if answered < rules.min_requests or _answered(old) < rules.min_requests:
        return None
    ours, theirs = new.latency_ms(_P99), old.latency_ms(_P99)
    if ours is not None and theirs and ours > rules.max_p99_ratio * theirs:
        return (
            f"max_p99_ratio: p99 is {ours:.1f} ms against {theirs:.1f} ms ({ours / theirs:.2f} ×); "
            f"{rules.max_p99_ratio:g} × is permitted"
        )
    return None


def _slower_calls(rollout: Rollout, new: SlotCounts, old: SlotCounts) -> str | None:
    rules, ours, theirs = rollout.rules, predict_ms(new), predict_ms(old)
    if rollout.percent > EQUAL_PERCENT or min(_answered(new), _answered(old)) < rules.min_requests:
        return None
    if ours <= max(rules.max_predict_ratio * theirs, theirs + LEAST_SLOWER_MS):
        return None
    return (
        f"max_predict_ratio: a model call takes {ours:.1f} ms against {theirs:.1f} ms "
        f"({ours / theirs if theirs else float('inf'):.2f} ×); {rules.max_predict_ratio:g} × is permitted"
    )


def predict_ms(counts: SlotCounts) -> float:
    """Mean time of the model calls of a version's requests; 0 without requests."""
    requests = counts.counts[Count.REQUESTS]
    return counts.counts[Count.PREDICT_US] / 1000 / requests if requests else 0.0


def _disagreement(rules: Rules, shadow: ShadowFigures) -> str | None:
    most = rules.max_disagreement
    if most is None or not _exceeds(shadow.disagreeing, shadow.compared, most, rules):
        return None
    return (
        f"max_disagreement: {shadow.disagreeing} of {shadow.compared} shadowed rows differ "
        f"({shadow.disagreement:.2%}); {most:.2%} are permitted"
    )


def _exceeds(bad: int, all_of_them: int, most: float, rules: Rules) -> bool:
    """As soon as even flawless requests up to the minimum could not repair it."""
    return bad > most * max(all_of_them, rules.min_requests)


def _answered(counts: SlotCounts) -> int:
    """Requests with an answer, failed ones included."""
    return counts.counts[Count.REQUESTS] + counts.counts[Count.ERRORS]


def rolled_back(rollout: Rollout, reason: str) -> Rollout:
    """The rollout, ended for this reason."""
    return structs.replace(rollout, state=RolloutState.ROLLED_BACK, reason=reason)
