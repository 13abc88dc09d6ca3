"""A change of a model's deployment: its base, its conditions, and its effect on this gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from api.access.principal import Principal
from api.gateway import Gateway
from shared.deployments import Change, Deployment, Target
from shared.errors import ModelNotFoundError
from shared.safe_texts import listed, named


async def look_up(gateway: Gateway, name: str, caller: Principal) -> None:
    """Raises ModelNotFoundError if the repository has no such model, or the caller does not see it."""
    if name not in gateway.catalog.names:
        await asyncio.to_thread(gateway.catalog.reload)
    gateway.catalog.find(name, caller=caller)


async def current(gateway: Gateway, name: str) -> Deployment:
    """The stored deployment of a model, else the deployment that its model.toml declares.

    Raises redis.exceptions.RedisError.
    """
    return await gateway.deployments.read(name) or _declared(gateway, name)


def _declared(gateway: Gateway, name: str) -> Deployment:
    default = gateway.catalog.find(name).version
    wanted = sorted({default, *gateway.fleet.now.versions(name)})
    return Deployment(model=name, target=Target(wanted=tuple(wanted), default=default), change=Change(by=""))


def built_versions(gateway: Gateway, name: str) -> set[str]:
    """The versions of a model that are in the repository or held by a worker."""
    return {*gateway.catalog.repository.versions(name), *gateway.fleet.now.versions(name)}


async def require_built(gateway: Gateway, name: str, versions: Collection[str]) -> None:
    """Raises ModelNotFoundError if a version is neither in the repository nor held by a worker."""
    if not built_versions(gateway, name).issuperset(versions):
        await asyncio.to_thread(gateway.catalog.reload)  # it may be new in the model store
    known = built_versions(gateway, name)
    missing = [version for version in versions if version not in known]
    if missing:
        raise ModelNotFoundError(
            f"Model {named(name)} has no version {named(missing[0])}. Versions: {listed(sorted(known))}."
        )


async def change(gateway: Gateway, changed: Deployment, expected: int | None) -> Deployment:
    """Store a deployment and route by it. `expected`: the generation that it replaces; None: any.

    Raises PreconditionFailedError if another generation is stored, redis.exceptions.RedisError.
    """
    stored = await gateway.deployments.change(changed, expected)
    gateway.route_by_deployments()
    return stored
