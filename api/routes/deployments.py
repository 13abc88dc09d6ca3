"""Deployments: which versions of a model are served, how requests are divided, and what workers hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Header, Query, Request, Response
from msgspec import structs
from pydantic import BaseModel, Field

from api.access.principal import Caller, Principal
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.http.request_bodies import read_json
from api.jobs.rollout_gates import cancel_gate, started_gate
from api.online.rollout_driver import changed as after_rollout
from api.routes.deployment_changes import change, current, look_up, require_built
from api.routes.rollout_views import RolloutStep, RolloutsView, RolloutView, rollout_view, step_view
from api.routes.shadow_views import ShadowView, require_shadowable, shadow_view
from shared.deployments import MOST_HISTORY, Change, Deployment, read_request, read_rollout
from shared.errors import InvalidStateError, PreconditionFailedError
from shared.keys import model_key
from shared.rollouts import Rollout, RolloutRequest, RolloutState, StartedGate
from shared.safe_texts import foreign_text
from shared.worker_records import ModelState

router = APIRouter(tags=["deployments"])

_ERRORS = of_errors(404, 409, 412, 422, 503)
_ETAG = re.compile(r'"(\d+)"')
IfMatch = Annotated[
    str | None, Header(description="The `ETag` of the deployment that the change is based on; `*`: any")
]


class HeldVersion(BaseModel):
    version: str
    state: str = Field(
        description="`held`, `loading`, `failed`, `on_demand` (loaded at its first request) or `absent`"
    )
    workers: list[str] = Field(description="The live workers that hold it")
    loading: int = Field(description="Number of workers that load it now")
    failures: list[str] = Field(description="Why workers could not load it")


class DeploymentView(BaseModel):
    model: str
    generation: int = Field(description="Increases with each change; 0: as model.toml declares it")
    wanted: list[str] = Field(description="The versions that workers load")
    unloaded: bool = Field(description="Workers load none of them until the model is loaded or deployed")
    default: str = Field(description="The version of requests that name none")
    serves: str = Field(
        description="The version that this gateway serves as the default now: it changes once a worker "
        "holds the new one"
    )
    aliases: dict[str, str] = Field(description="Names that requests may use in place of a version")
    split: dict[str, float] = Field(description="Percent of the requests without a version, by version")
    changed_at: str | None
    changed_by: str | None
    reason: str
    shadow: ShadowView | None = Field(
        description="The version that also runs a share of the requests: of a running rollout with "
        "`max_disagreement`, else as it was set"
    )
    rollout: RolloutView | None = Field(description="The newest rollout, unless another change came later")
    can_roll_back_to: str | None = Field(description="The default version before the last promotion")
    versions: list[HeldVersion]


class PastDeployment(BaseModel):
    generation: int
    wanted: list[str]
    unloaded: bool
    default: str
    aliases: dict[str, str]
    split: dict[str, float]
    shadow: str | None = Field(description="The version that ran as a shadow")
    changed_at: str
    changed_by: str
    reason: str


class DeploymentHistory(BaseModel):
    model: str
    changes: list[PastDeployment] = Field(description="The newest first")


@router.get("/models/{name}/deployment", responses=of_errors(404, 503))
async def deployment(name: str, gateway: GatewayState, caller: Caller, response: Response) -> DeploymentView:
    """The deployment of a model: what is wanted, and what the workers hold."""
    gateway.catalog.find(name, caller=caller)
    return await _answer(gateway, await current(gateway, name), response)


@router.put(
    "/models/{name}/deployment",
    responses=_ERRORS,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {
                        "wanted": ["1.0.0", "1.1.0"],
                        "default": "1.0.0",
                        "split": {"1.0.0": 90, "1.1.0": 10},
                        "reason": "canary",
                    },
                }
            },
        }
    },
)
async def deploy(
    name: str,
    request: Request,
    gateway: GatewayState,
    caller: Caller,
    response: Response,
    *,
    if_match: IfMatch = None,
) -> DeploymentView:
    """Change which versions are served. Traffic moves to a version once a worker holds it.

    The model or its versions may be new in the repository: neither gateway nor workers need a restart.
    """
    await look_up(gateway, name, caller)
    demand = read_request(await _body(gateway, request))
    await require_built(gateway, name, demand.wanted)
    before = await current(gateway, name)
    expected = _expected(if_match, before)
    promotes = demand.default != before.target.default
    changed = Deployment(
        model=name,
        target=demand.target,
        replaced=before.target if promotes else before.replaced,
        change=Change(by=caller.name, reason=demand.reason),
    )
    require_shadowable(gateway.catalog, changed)
    return await _changed(gateway, changed, expected, response)


@router.post("/models/{name}/rollback", responses=_ERRORS)
async def roll_back(
    name: str, gateway: GatewayState, caller: Caller, response: Response, *, if_match: IfMatch = None
) -> DeploymentView:
    """End a running rollout, else serve again what the last promotion replaced."""
    gateway.catalog.find(name, caller=caller)
    before = await gateway.deployments.read(name)
    if before is not None and before.rollout is not None and before.rollout.running:
        stopped = structs.replace(
            before.rollout, state=RolloutState.ROLLED_BACK, reason=f"rolled back by {caller.name}"
        )
        await cancel_gate(gateway.jobs, stopped.gate if stopped.gated else None)
        changed = structs.replace(
            after_rollout(before, stopped), change=Change(by=caller.name, reason="rollback")
        )
    elif before is not None and before.replaced is not None:
        await require_built(gateway, name, before.replaced.wanted)
        changed = Deployment(
            model=name,
            target=before.replaced,
            replaced=before.target,
            change=Change(by=caller.name, reason=f"rolled back from {before.target.default}"),
        )
    else:
        raise InvalidStateError(f"No promotion of {name} can be rolled back.")
    return await _changed(gateway, changed, _expected(if_match, before), response)


@router.get("/models/{name}/deployment/history", responses=of_errors(404, 422, 503))
async def history(
    name: str,
    gateway: GatewayState,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> DeploymentHistory:
    """The changes of a model's deployment."""
    gateway.catalog.find(name, caller=caller)
    return DeploymentHistory(
        model=name, changes=[_past(one) for one in await gateway.deployments.history(name, limit)]
    )


@router.post("/models/{name}/rollouts", status_code=201, responses=_ERRORS)
async def roll_out(
    name: str, request: Request, gateway: GatewayState, caller: Caller, response: Response
) -> DeploymentView:
    """Move requests to a version in steps, each only while the rules hold.

    With a `gate`, the first step waits until a replay of a job on the new version agrees with the job.
    """
    await look_up(gateway, name, caller)
    asked = read_rollout(await _body(gateway, request))
    before = await current(gateway, name)
    started = _started(before, asked, caller)
    await require_built(gateway, name, started.target.wanted)
    gateway.catalog.learn(name, [asked.to])
    require_shadowable(gateway.catalog, started)
    if asked.gate is None:
        return await _changed(gateway, started, before.generation, response)
    gate = await started_gate(gateway.jobs, caller, gateway.catalog.find(name, asked.to), asked.gate)
    try:
        return await _changed(gateway, _behind_gate(before, started, gate), before.generation, response)
    except PreconditionFailedError:
        await cancel_gate(gateway.jobs, gate)
        raise


def _started(before: Deployment, asked: RolloutRequest, caller: Principal) -> Deployment:
    """The deployment at the first step of a rollout. Raises InvalidStateError."""
    target = before.target
    if before.rollout is not None and before.rollout.running:
        raise InvalidStateError(
            f"A rollout of {before.model} to {before.rollout.to} is running: roll it back first."
        )
    if target.unloaded:
        raise InvalidStateError(f"{before.model} is unloaded: deploy or load it first.")
    if asked.to == target.default:
        raise InvalidStateError(f"{before.model} serves {asked.to} already.")
    rollout = Rollout(
        id=uuid4().hex,
        of=target.default,
        to=asked.to,
        steps=asked.steps,
        hold_s=asked.hold_s,
        rules=asked.rules,
    )
    wanted = tuple(dict.fromkeys([*target.wanted, asked.to]))
    return Deployment(
        model=before.model,
        target=structs.replace(target, wanted=wanted, split=rollout.split),
        replaced=before.replaced,
        rollout=rollout,
        change=Change(by=caller.name, reason=asked.reason or f"rollout of {asked.to}"),
    )


def _behind_gate(before: Deployment, started: Deployment, gate: StartedGate) -> Deployment:
    """The deployment of a rollout whose gate has not passed: the new version is loaded, and nothing moves."""
    assert started.rollout is not None
    return structs.replace(
        started,
        target=structs.replace(started.target, split=before.target.split),
        rollout=structs.replace(started.rollout, gate=gate),
    )


@router.get("/models/{name}/rollouts", responses=of_errors(404, 503))
async def rollouts(name: str, gateway: GatewayState, caller: Caller) -> RolloutsView:
    """The running rollout with its figures, and those that have ended, the newest first."""
    gateway.catalog.find(name, caller=caller)
    found = await gateway.deployments.read(name)
    past = await gateway.deployments.history(name, MOST_HISTORY)
    ended = {one.rollout.id: one for one in reversed(past) if one.rollout and not one.rollout.running}
    current = found.rollout if found else None
    running = None
    if found is not None and current is not None and current.running:
        running = rollout_view(found, current, await gateway.rollouts.counts_of(found))
    listed = [rollout_view(one, one.rollout, {}) for one in reversed(ended.values()) if one.rollout]
    if newest := running or next(iter(listed), None):
        newest.history = await _steps(gateway, past, newest.id)
    return RolloutsView(model=name, running=running, ended=listed)


async def _steps(gateway: Gateway, past: Sequence[Deployment], rollout_id: str) -> list[RolloutStep]:
    """The steps of a rollout, the first one first. `past`: the model's deployments, the newest first."""
    return [
        step_view(
            one, one.rollout, await gateway.rollouts.counts_of(one), await gateway.rollouts.shadow_of(one)
        )
        for one in reversed(past)
        if one.rollout is not None and one.rollout.id == rollout_id and one.rollout.running
    ]


async def _body(gateway: Gateway, request: Request) -> bytes:
    settings = gateway.settings
    headers = dict(request.scope["headers"])
    return await read_json(headers, request.receive, settings.max_body_bytes, idle_s=settings.upload_idle_s)


async def _changed(
    gateway: Gateway, changed: Deployment, expected: int | None, response: Response
) -> DeploymentView:
    return await _answer(gateway, await change(gateway, changed, expected), response)


def _expected(if_match: str | None, before: Deployment) -> int | None:
    """The generation that a change replaces: that of `If-Match`, else the one that was just read."""
    if if_match is None or if_match.strip() == "*":
        return before.generation
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise PreconditionFailedError(f'If-Match is {if_match!r}: send the deployment\'s ETag, such as "7".')
    return int(found[1])


async def _answer(gateway: Gateway, found: Deployment, response: Response) -> DeploymentView:
    response.headers["ETag"] = f'"{found.generation}"'
    target = found.target
    return DeploymentView(
        model=found.model,
        generation=found.generation,
        wanted=list(target.wanted),
        unloaded=target.unloaded,
        default=target.default,
        serves=gateway.catalog.find(found.model).version,
        aliases=target.aliases,
        split=target.split,
        shadow=shadow_view(found.shadow, await gateway.rollouts.shadow_of(found)) if found.shadow else None,
        changed_at=_moment(found.changed_at_ms) if found.generation else None,
        changed_by=found.change.by or None,
        reason=found.change.reason,
        rollout=rollout_view(found, found.rollout, {}) if found.rollout else None,
        can_roll_back_to=found.replaced.default if found.replaced else None,
        versions=list(_versions(gateway, found)),
    )


def _versions(gateway: Gateway, found: Deployment) -> Iterator[HeldVersion]:
    """What the workers hold: the wanted versions, and those that are not wanted any more."""
    held = gateway.fleet.now.versions(found.model)
    for version in dict.fromkeys([*found.target.wanted, *sorted(held)]):
        key = model_key(found.model, version)
        workers = [worker for worker in gateway.fleet.now.workers if key in worker.models]
        states = [worker.models[key] for worker in workers]
        failures = [foreign_text(one.reason) for one in states if one.state is ModelState.FAILED]
        holders = [worker.id for worker in workers if worker.holds(key)]
        loading = sum(one.state is ModelState.LOADING for one in states)
        cold = gateway.fleet.now.on_demand.get(key)
        failures += [foreign_text(cold.reason)] if cold and cold.reason else []
        unheld = "loading" if loading else "on_demand" if cold else "failed" if failures else "absent"
        state = "held" if holders else unheld
        yield HeldVersion(version=version, state=state, workers=holders, loading=loading, failures=failures)


def _past(one: Deployment) -> PastDeployment:
    return PastDeployment(
        generation=one.generation,
        wanted=list(one.target.wanted),
        unloaded=one.target.unloaded,
        default=one.target.default,
        aliases=one.target.aliases,
        split=one.target.split,
        shadow=one.shadow.version if one.shadow else None,
        changed_at=_moment(one.changed_at_ms),
        changed_by=one.change.by,
        reason=one.change.reason,
    )


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
