"""Views of rollouts, with the figures by which they advance."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs
from pydantic import BaseModel, Field

from shared.deployments import Deployment
from shared.history import Count, SlotCounts
from shared.keys import ModelKey, model_key
from shared.rollouts import Rollout, predict_ms
from shared.shadowing import ShadowFigures


class VersionFigures(BaseModel):
    version: str
    requests: int = Field(description="Requests with an answer in this step, failed ones included")
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    predict_ms: float = Field(description="Mean time of the model calls of its requests")


class RolloutRules(BaseModel):
    max_error_rate: float
    max_p99_ratio: float
    max_predict_ratio: float
    min_requests: int
    max_disagreement: float | None
    shadow_share: float
    tolerance: float


class RolloutGate(BaseModel):
    replay: str = Field(description="The job of which the rows run again")
    job: str = Field(description="The replay: `GET /jobs/{id}/difference` compares both")
    max_disagreement: float
    tolerance: float
    passed: bool
    figures: str = Field(description="The outcome; empty before")


class RolloutStep(BaseModel):
    """A step of a rollout: the present one, or one that has ended."""

    percent: float = Field(description="Of the requests, for the new version; 0: it waits for its gate")
    began_at_ms: int
    figures: list[VersionFigures] = Field(description="The old version, then the new one")
    compared: int = Field(description="Rows that the new version also ran as a shadow")
    disagreement: float | None = Field(
        description="Share of these rows that differed or failed; null: there are none"
    )


class RolloutView(BaseModel):
    id: str
    state: str = Field(description="`running`, `promoted` or `rolled_back`")
    from_version: str
    to_version: str
    steps: list[float] = Field(description="Percent of the requests for the new version")
    step: int = Field(description="Index of the present step")
    percent: float
    hold_s: float
    rules: RolloutRules
    gate: RolloutGate | None = Field(description="Must pass before the first step; `percent` is 0 until then")
    reason: str = Field(description="Why it ended")
    step_began_at_ms: int
    ended_at_ms: int | None
    figures: list[VersionFigures] = Field(description="Of the present step; empty after its end")
    history: list[RolloutStep] = Field(
        [], description="`GET /models/{name}/rollouts`: the steps of the newest rollout, the first one first"
    )


class RolloutsView(BaseModel):
    model: str
    running: RolloutView | None
    ended: list[RolloutView] = Field(description="The newest first")


def rollout_view(
    deployment: Deployment, rollout: Rollout, counts: Mapping[ModelKey, SlotCounts]
) -> RolloutView:
    versions = (rollout.of, rollout.to) if counts else ()
    return RolloutView(
        id=rollout.id,
        state=rollout.state.value,
        from_version=rollout.of,
        to_version=rollout.to,
        steps=list(rollout.steps),
        step=rollout.step,
        percent=rollout.percent,
        hold_s=rollout.hold_s,
        rules=RolloutRules(
            max_error_rate=rollout.rules.max_error_rate,
            max_p99_ratio=rollout.rules.max_p99_ratio,
            max_predict_ratio=rollout.rules.max_predict_ratio,
            min_requests=rollout.rules.min_requests,
            max_disagreement=rollout.rules.max_disagreement,
            shadow_share=rollout.rules.shadow_share,
            tolerance=rollout.rules.tolerance,
        ),
        gate=RolloutGate(**structs.asdict(rollout.gate)) if rollout.gate else None,
        reason=rollout.reason,
        step_began_at_ms=deployment.changed_at_ms,
        ended_at_ms=None if rollout.running else deployment.changed_at_ms,
        figures=[_figures(deployment.model, version, counts) for version in versions],
    )


def step_view(
    deployment: Deployment, rollout: Rollout, counts: Mapping[ModelKey, SlotCounts], shadow: ShadowFigures
) -> RolloutStep:
    """The step of a rollout in which it had this deployment, with what was counted in it."""
    return RolloutStep(
        percent=rollout.percent,
        began_at_ms=deployment.changed_at_ms,
        figures=[_figures(deployment.model, version, counts) for version in (rollout.of, rollout.to)],
        compared=shadow.compared,
        disagreement=shadow.disagreement if shadow.compared else None,
    )


def _figures(model: str, version: str, counts: Mapping[ModelKey, SlotCounts]) -> VersionFigures:
    found = counts.get(model_key(model, version), SlotCounts())
    errors = found.counts[Count.ERRORS]
    return VersionFigures(
        version=version,
        requests=found.counts[Count.REQUESTS] + errors,
        errors=errors,
        p50_ms=found.latency_ms(0.5),
        p99_ms=found.latency_ms(0.99),
        predict_ms=predict_ms(found),
    )
