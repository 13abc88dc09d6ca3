"""Loading and unloading of models, as changes of their deployments.

    load     the named version is wanted, and the default if the model was unloaded; without a version, what
             was wanted before the model was unloaded
    unload   the named version is no longer wanted; without a version, workers hold no version of the model

Both answer once the workers have followed, as Triton does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from msgspec import structs

from api.access.principal import Principal
from api.gateway import Gateway
from api.models.deployment_store import LOOK_EVERY_S
from api.routes.deployment_changes import built_versions, change, current, look_up, require_built
from shared.deployments import Change, Deployment, Target
from shared.errors import InvalidInputError, InvalidStateError, ModelNotLoadedError, PreconditionFailedError
from shared.keys import model_key
from shared.repository import newest_version

FOLLOW_LIMIT_S = 50.0
"""Longest wait for the workers: shorter than the 60 s after which tritonclient gives up."""
_RETRY_S = 5.0


def version_of(parameters: Mapping[str, object]) -> str | None:
    """The version that a request names in its parameters; None: it names none. Raises InvalidInputError."""
    refused = [name for name in parameters if name == "config" or name.startswith("file:")]
    if refused:
        raise InvalidInputError(
            f"Parameter {refused[0]!r} is not supported: put the version into the models folder, and load it."
        )
    version = parameters.get("version") or None
    if version is not None and not isinstance(version, str):
        raise InvalidInputError("Parameter 'version' must be a text, such as '1.0.0'.")
    return version


async def load(
    gateway: Gateway, model: str, version: str | None, caller: Principal, limit_s: float = FOLLOW_LIMIT_S
) -> None:
    """Have the workers load a version, and wait until one of them holds it.

    Raises ModelNotFoundError, InvalidStateError if workers cannot load it or a rollout runs,
    ModelNotLoadedError if none holds it in time, redis.exceptions.RedisError.
    """
    await look_up(gateway, model, caller)
    built = built_versions(gateway, model)
    target = await _changed(gateway, model, caller, lambda before: loading(before, version, built))
    key = model_key(model, version or target.default)

    def is_settled() -> bool:
        found = gateway.fleet.now.availability(key)
        return gateway.serves(key) or bool(found.failures and not found.loading)

    await _followed(is_settled, limit_s)
    gateway.route_by_deployments()
    if gateway.serves(key):
        return
    if failure := gateway.fleet.now.availability(key).failure:
        raise InvalidStateError(f"Workers cannot load {key}: {failure}")
    raise ModelNotLoadedError(
        f"{key} is wanted now, but no live worker holds it yet.", retry_after_s=_RETRY_S
    )


async def unload(
    gateway: Gateway, model: str, version: str | None, caller: Principal, limit_s: float = FOLLOW_LIMIT_S
) -> None:
    """Have the workers drop a version, or all of the model, and wait until none of them holds it.

    Raises ModelNotFoundError, InvalidStateError if the deployment needs the version, a rollout runs, or
    workers still hold it after `limit_s`, redis.exceptions.RedisError.
    """
    await look_up(gateway, model, caller)
    found = gateway.catalog.find(model, version, caller)
    target = await _changed(gateway, model, caller, lambda before: unloading(before.target, version))

    def holding() -> set[str]:
        held = gateway.fleet.now.versions(model)
        return held if target.unloaded else held & {found.version}

    await _followed(lambda: not holding(), limit_s)
    if still := holding():
        raise InvalidStateError(
            f"Workers still hold {model} {', '.join(sorted(still))}: their successors have not started yet, "
            "or TAKT_MODELS of a worker names the version."
        )


def loading(before: Deployment, version: str | None, built: Collection[str]) -> Target:
    """The target after a version is loaded; None: what is wanted already. If no deployment is stored and the
    declared default is not built, it is the newest built version."""
    target = before.target
    is_missing = not before.generation and bool(built) and target.default not in built
    if version is None and not is_missing:
        return structs.replace(target, unloaded=False)
    version = version or newest_version(built)
    if target.unloaded or is_missing:
        return Target(wanted=(version,), default=version)
    return structs.replace(target, wanted=tuple(dict.fromkeys([*target.wanted, version])))


def unloading(before: Target, version: str | None) -> Target:
    """The target after a version is unloaded; None: all versions.

    Raises InvalidStateError if a part of the deployment needs the version.
    """
    if before.unloaded or (version is not None and version not in before.wanted):
        return before
    if version is None or before.wanted == (version,):
        return structs.replace(before, unloaded=True)
    rest = tuple(one for one in before.wanted if one != version)
    target = structs.replace(before, wanted=rest)
    if problem := target.problem():
        raise InvalidStateError(f"The deployment needs {version} ({problem}): change the deployment first.")
    return target


async def _changed(
    gateway: Gateway, model: str, caller: Principal, decide: Callable[[Deployment], Target]
) -> Target:
    """Change the deployment of a model, based on its newest generation. → the target"""
    while True:
        before = await current(gateway, model)
        target = decide(before)
        if target == before.target:
            return target
        if before.rollout is not None and before.rollout.running:
            raise InvalidStateError(
                f"A rollout of {model} to {before.rollout.to} is running: roll it back first."
            )
        await require_built(gateway, model, set(target.wanted) - set(before.target.wanted))
        reason = "unloaded" if target.unloaded else "loaded" if before.target.unloaded else ""
        after = Deployment(
            model=model,
            target=target,
            replaced=before.replaced,
            change=Change(by=caller.name, reason=reason),
        )
        with suppress(PreconditionFailedError):
            return (await change(gateway, after, before.generation)).target


async def _followed(is_settled: Callable[[], bool], limit_s: float) -> None:
    """Wait until the workers have followed, or the time is over."""
    end_s = time.monotonic() + limit_s
    while not is_settled():
        if time.monotonic() >= end_s:
            return
        await asyncio.sleep(LOOK_EVERY_S)
