"""Deployments in Redis, for this gateway: reads, changes, and the snapshot by which it routes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis

from shared import keys
from shared.deployments import (
    DEPLOY,
    MOST_WANTED,
    Deployment,
    decode_deployment,
    script_arguments,
    script_keys,
)
from shared.errors import InvalidInputError, PreconditionFailedError
from shared.keys import ModelKey

log = structlog.get_logger()

RELEASED_S = 60
"""Time after which the stream of a version that left the store is removed."""
LOOK_EVERY_S = 0.25
"""Interval between looks at the deployments' version: a change takes effect everywhere within a second."""


class Deployments:
    """The deployments of all models. `known` is the newest snapshot."""

    def __init__(self, client: Redis) -> None:
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._script = client.register_script(DEPLOY)
        self._version: bytes | None = None
        self._read = False
        self._looking = asyncio.Lock()
        self.known: Mapping[str, Deployment] = {}
        self.changes = 0
        """How often `look` has found a change: of a deployment, or of the published versions."""

    async def look(self) -> None:
        """Read the deployments if one has changed. Raises redis.exceptions.RedisError."""
        async with self._looking:  # else an older read could replace a newer read
            await self._look()

    async def _look(self) -> None:
        version = await self._client.get(keys.deployments_version())
        if version == self._version and self._read:
            return
        stored: dict[bytes, bytes] = await self._client.hgetall(keys.deployments())
        found = {}
        for model, text in stored.items():
            deployment = decode_deployment(text)
            if deployment is None:
                log.error("deployment_unreadable", model=model.decode(errors="replace"))
            else:
                found[deployment.model] = deployment
        self.known, self._version, self._read = found, version, True
        self.changes += 1

    async def versions_changed(self) -> None:
        """Have all gateways read the repository again. Raises redis.exceptions.RedisError."""
        await self._client.incr(keys.deployments_version())

    async def release(self, forgotten: Sequence[ModelKey]) -> None:
        """Let the Redis keys of versions that are not served any more expire.

        A worker that holds such a version again keeps its stream. Raises redis.exceptions.RedisError.
        """
        if not forgotten:
            return
        async with self._client.pipeline(transaction=False) as pipe:
            for key in forgotten:
                for of_version in (keys.online(key), keys.fair_times(key)):
                    pipe.expire(of_version, RELEASED_S)
                pipe.delete(*keys.offline_bindings(key))
                pipe.hdel(keys.clocks(), key)
            await pipe.execute()

    async def read(self, model: str) -> Deployment | None:
        """The stored deployment of a model; None: there is none. Raises redis.exceptions.RedisError."""
        text = await self._client.hget(keys.deployments(), model)
        return None if text is None else decode_deployment(text)

    async def change(self, deployment: Deployment, expected: int | None) -> Deployment:
        """Store a deployment as the next generation. `expected`: the generation that it replaces; None: any.
        → the stored record

        Raises PreconditionFailedError if another generation is stored, InvalidInputError if it has too many
        versions, redis.exceptions.RedisError.
        """
        if len(deployment.target.wanted) > MOST_WANTED:
            raise InvalidInputError(
                f"{deployment.model} would have more than {MOST_WANTED} versions: drop others first, "
                f"as with `takt deploy {deployment.model} VERSION --only`."
            )
        done, text = await self._script(
            keys=script_keys(deployment.model), args=script_arguments(deployment, expected)
        )
        stored = decode_deployment(text) if text else None
        if not done or stored is None:
            generation = stored.generation if stored else 0
            raise PreconditionFailedError(
                f"The deployment of {deployment.model} has generation {generation}, not {expected}: another "
                "change came first. Read it again."
            )
        log.info(
            "deployment_changed",
            model=stored.model,
            generation=stored.generation,
            by=stored.change.by,
            reason=stored.change.reason,
        )
        await self.look()
        return stored

    async def history(self, model: str, most: int) -> list[Deployment]:
        """The changes of a model's deployment, the newest first. Raises redis.exceptions.RedisError."""
        entries = await self._client.xrevrange(keys.deployment_history(model), count=most)
        found = (decode_deployment(fields[b"record"]) for _, fields in entries)
        return [deployment for deployment in found if deployment is not None]
