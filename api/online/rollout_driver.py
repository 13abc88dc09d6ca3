"""Drives rollouts: counts what both versions answer, and takes the next step when it is due.

Every gateway adds its counts and may take the step. A step replaces an expected generation of the deployment,
so that one gateway's change counts and the others find it done.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import structlog
from msgspec import structs
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.fleet.fleet_watch import FleetWatch
from api.models.catalog import Catalog
from api.models.deployment_store import Deployments
from api.online.history_writer import totals_of
from shared import keys
from shared.deployments import Change, Deployment
from shared.errors import ModelNotFoundError, PreconditionFailedError
from shared.history import SlotCounts, read_slot
from shared.keys import ModelKey, model_key
from shared.rollouts import Rollout, RolloutState, next_rollout
from shared.shadowing import ShadowFigures, read_figures

log = structlog.get_logger()

EVERY_S = 1.0
KEPT_S = 8 * 86_400
"""How long the counts of a step are kept: longer than a step may last."""


LookAtGate: TypeAlias = Callable[[Deployment, Rollout], Awaitable[Rollout | None]]
"""Returns the rollout after its gate; None: it is not decided yet."""


class RolloutDriver:
    """Counts and decides for all running rollouts."""

    def __init__(
        self,
        client: Redis,
        catalog: Catalog,
        deployments: Deployments,
        watch: FleetWatch,
        gate: LookAtGate,
    ) -> None:
        """`gate` decides the gates of rollouts (`api/jobs/rollout_gates.py`)."""
        self._gate = gate
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._catalog = catalog
        self._deployments = deployments
        self._watch = watch
        self._written: dict[tuple[str, int], Mapping[str, int]] = {}
        """Totals of this gateway that a step already counts, by model and generation."""

    async def run_later(self) -> None:
        """Wait a second, then count and decide. A background task repeats it."""
        await asyncio.sleep(EVERY_S)
        with suppress(RedisError, OSError):  # the reply reader reports it
            await self.run()

    async def run(self) -> None:
        """Raises redis.exceptions.RedisError."""
        running = [one for one in self._deployments.known.values() if one.rollout and one.rollout.running]
        steps = {(one.model, one.generation) for one in running}
        self._written = {step: totals for step, totals in self._written.items() if step in steps}
        for deployment in running:
            assert deployment.rollout is not None
            await self._count(deployment, deployment.rollout)
            await self._decide(deployment, deployment.rollout)

    async def counts_of(self, deployment: Deployment) -> dict[ModelKey, SlotCounts]:
        """What both versions answered in the present step, over all gateways."""
        counted = await self._client.hgetall(keys.rollout_counts(deployment.model, deployment.generation))
        return read_slot(counted)

    async def shadow_of(self, deployment: Deployment) -> ShadowFigures:
        """The counts of the deployment's shadow since its last change."""
        if deployment.shadow is None:
            return ShadowFigures()
        name = keys.shadow_counts(deployment.model, deployment.generation)
        return read_figures(await self._client.hgetall(name))

    async def _count(self, deployment: Deployment, rollout: Rollout) -> None:
        """Add what this gateway answered since the last call; the first call only takes the totals."""
        step = deployment.model, deployment.generation
        totals = self._totals(deployment.model, rollout)
        before = self._written.get(step)
        self._written[step] = totals
        new = Counter(totals)
        new.subtract(before if before is not None else totals)
        added = {name: number for name, number in new.items() if number > 0}
        if not added:
            return
        name = keys.rollout_counts(*step)
        pipeline = self._client.pipeline(transaction=True)
        for count, number in added.items():
            pipeline.hincrby(name, count, number)
        pipeline.expire(name, KEPT_S)
        await pipeline.execute()

    def _totals(self, model: str, rollout: Rollout) -> dict[str, int]:
        found: dict[str, int] = {}
        for version in (rollout.of, rollout.to):
            with suppress(ModelNotFoundError):  # not known here yet
                found |= totals_of(self._catalog.find(model, version))
        return found

    async def _decide(self, deployment: Deployment, rollout: Rollout) -> None:
        after = await self._next(deployment, rollout)
        if after is None:
            return
        with suppress(PreconditionFailedError):  # another gateway took this step
            await self._deployments.change(changed(deployment, after), deployment.generation)
            log.info(
                "rollout_advanced" if after.running else f"rollout_{after.state.value}",
                model=deployment.model,
                version=rollout.to,
                percent=after.percent,
                reason=after.reason,
            )

    async def _next(self, deployment: Deployment, rollout: Rollout) -> Rollout | None:
        new, old = (model_key(deployment.model, version) for version in (rollout.to, rollout.of))
        held = self._watch.fleet.serves(new)
        if held and rollout.gated:
            return await self._gate(deployment, rollout)
        counts = await self.counts_of(deployment)
        seconds, micros = await self._client.time()
        return next_rollout(
            rollout,
            seconds + micros / 1e6 - deployment.changed_at_ms / 1000,
            counts.get(new, SlotCounts()),
            counts.get(old, SlotCounts()),
            held=held,
            shadow=await self.shadow_of(deployment),
        )


def changed(deployment: Deployment, rollout: Rollout) -> Deployment:
    """The deployment with the next state of its rollout."""
    target, replaced = deployment.target, deployment.replaced
    match rollout.state:
        case RolloutState.RUNNING:
            target, reason = structs.replace(target, split=rollout.split), f"{rollout.percent:g} %"
        case RolloutState.PROMOTED:
            replaced = structs.replace(target, split={})
            shadow = target.shadow if target.shadow and target.shadow.version != rollout.to else None
            target = structs.replace(target, default=rollout.to, split={}, shadow=shadow)
            reason = rollout.reason
        case RolloutState.ROLLED_BACK if rollout.gated:  # nothing has moved
            reason = rollout.reason
        case RolloutState.ROLLED_BACK:
            target, reason = structs.replace(target, default=rollout.of, split={}), rollout.reason
    return Deployment(
        model=deployment.model,
        target=target,
        replaced=replaced,
        rollout=rollout,
        change=Change(by="rollout", reason=f"rollout of {rollout.to}: {reason}"),
    )
