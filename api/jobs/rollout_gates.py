"""Gates of rollouts: before the first step, a job runs again on the new version, and must agree.

The replay is a job like any other, created with the rollout. Every gateway looks at it; the gateway that
holds a lease compares the two jobs once the replay has succeeded, so that another gateway continues if that
one ends. The outcome is one change of the deployment under its generation.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import structlog
from msgspec import structs
from redis.asyncio import Redis

from api.access.principal import Principal
from api.jobs.authorization import own_job
from api.jobs.job_difference import JobDifference, stored_side
from api.jobs.job_replay import replay, replay_options
from api.jobs.job_service import JobService
from api.jobs.lost_results import recomputing
from api.models.catalog import Servable
from shared import keys
from shared.api_keys import Role
from shared.deployments import Deployment
from shared.errors import (
    JobExpiredError,
    JobNotFoundError,
    PayloadStoreAwayError,
    ServiceError,
    TryLaterError,
)
from shared.ledger import JobState
from shared.rollouts import Gate, Rollout, StartedGate, rolled_back
from shared.tabular.differences import Difference

log = structlog.get_logger()

LEASE_MS = 10_000
"""Time after which another gateway compares if the comparing gateway has ended."""


async def started_gate(jobs: JobService, caller: Principal, servable: Servable, gate: Gate) -> StartedGate:
    """Start the replay of a gate. Raises ForbiddenError without the role `submit`, and the errors of
    `replay`."""
    caller.require(Role.SUBMIT)
    record = await own_job(jobs, caller, gate.replay)
    made, _ = await replay(jobs, caller, record, servable, replay_options(record))
    await jobs.ledger.make_durable(made.id)
    return StartedGate(
        replay=gate.replay, max_disagreement=gate.max_disagreement, tolerance=gate.tolerance, job=made.id
    )


async def cancel_gate(jobs: JobService, gate: StartedGate | None) -> None:
    """Cancel the replay of a gate, if it still runs: its rollout has ended."""
    if gate is not None:
        with suppress(JobNotFoundError, JobExpiredError):
            await jobs.ledger.cancel(gate.job)


class RolloutGates:
    """The gates of all running rollouts, as this gateway sees them."""

    def __init__(self, client: Redis, jobs: JobService, name: str) -> None:
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._jobs = jobs
        self._name = name
        self._comparing: dict[str, asyncio.Task[Difference]] = {}
        """Comparisons of this gateway, by rollout."""

    async def look(self, deployment: Deployment, rollout: Rollout) -> Rollout | None:
        """The rollout after its gate; None: the gate is not decided yet. Called every second.

        Raises redis.exceptions.RedisError.
        """
        gate = rollout.gate
        assert gate is not None
        try:
            record = await self._jobs.ledger.read(gate.job)
        except (JobNotFoundError, JobExpiredError) as error:
            return rolled_back(rollout, f"gate: {error.detail}")
        if not record.state.ended:
            return None
        if record.state is not JobState.SUCCEEDED:
            why = f": {record.error.detail}" if record.error else ""
            return rolled_back(rollout, f"gate: the replay {gate.job} is {record.state}{why}")
        if not await self._leads(deployment):
            return None
        return await self._compared(rollout, gate)

    async def _compared(self, rollout: Rollout, gate: StartedGate) -> Rollout | None:
        task = self._comparing.get(rollout.id)
        if task is None:
            self._comparing = {one: task for one, task in self._comparing.items() if not task.done()}
            self._comparing[rollout.id] = asyncio.create_task(self._compare(gate))
            return None
        if not task.done():
            return None
        del self._comparing[rollout.id]
        try:
            return after_gate(rollout, gate, task.result())
        except (TryLaterError, PayloadStoreAwayError) as error:  # a lost result is computed again
            log.warning("rollout_gate_delayed", rollout=rollout.id, reason=error.detail)
            return None
        except ServiceError as error:
            return rolled_back(rollout, f"gate: {error.detail}")

    async def _compare(self, gate: StartedGate) -> Difference:
        a, b = await stored_side(self._jobs, gate.replay), await stored_side(self._jobs, gate.job)
        difference = JobDifference(a, b, gate.tolerance)
        return await recomputing(self._jobs.ledger, asyncio.to_thread(difference.compare))

    async def _leads(self, deployment: Deployment) -> bool:
        """Whether this gateway holds the lease; each call renews it."""
        name, me = keys.rollout_gate(deployment.model, deployment.generation), self._name
        if await self._client.set(name, me, nx=True, px=LEASE_MS):
            return True
        if await self._client.get(name) != me.encode():
            return False
        await self._client.pexpire(name, LEASE_MS)
        return True


def after_gate(rollout: Rollout, gate: StartedGate, found: Difference) -> Rollout:
    """The rollout at its first step if the jobs agree, else rolled back."""
    figures = f"{found.disagreeing} of {found.rows} rows differ ({found.disagreement:.4%})"
    judged = structs.replace(gate, figures=figures, passed=found.disagreement <= gate.max_disagreement)
    if judged.passed:
        return structs.replace(rollout, gate=judged)
    reason = (
        f"gate: {figures}; {gate.max_disagreement:.4%} are permitted. The rows: takt difference "
        f"{gate.replay} {gate.job}"
    )
    return structs.replace(rolled_back(rollout, reason), gate=judged)
