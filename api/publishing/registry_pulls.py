"""Publishes registered models of MLflow after webhooks of the registry, and deploys those of an alias.

    webhook ─▶ registry-events in Redis, 202 ─▶ a gateway takes it ─▶ a worker pulls and verifies the version
                                                    └▶ it is published ─▶ and deployed, if requested

An event stays in Redis until its version is published or refused, so that another gateway takes it if the
first ends. The newest event of a model decides which version is deployed, in any order of deliveries.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from msgspec import structs
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.publishing.incoming import now
from api.publishing.publisher import Publisher
from shared import keys
from shared.deployments import MOST_WANTED, Change, Deployment, Target
from shared.errors import (
    InvalidInputError,
    InvalidStateError,
    PreconditionFailedError,
    ServiceError,
    VersionExistsError,
)
from shared.manifests import ArtifactManifest
from shared.model_store import incoming_path
from shared.publications import Candidate
from shared.registry_events import ADD_EVENT, RegistryEvent, decode_event, encode_event
from shared.safe_texts import foreign_text

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
GIVE_UP_S = 86_400.0
"""Age at which an unhandled event is dropped, for example if no worker was alive."""
_ATTEMPTS = 5


class RegistryPulls:
    """The events of registries that are to be handled, one at a time in each gateway."""

    def __init__(self, client: Redis, publisher: Publisher) -> None:
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._publisher = publisher
        self._add = client.register_script(ADD_EVENT)

    async def add(self, event: RegistryEvent) -> bool:
        """Store an event. → False if it was stored before, or a newer one decides about the deployment.

        Raises redis.exceptions.RedisError.
        """
        at = str(event.at_us) if event.deploys else ""
        added = await self._add(
            keys=[keys.registry_events(), keys.registry_aliases()],
            args=[event.id, encode_event(event), event.model, at],
        )
        return bool(added)

    async def look_later(self) -> None:
        """Handle the stored events, then wait `LOOK_EVERY_S`. A background task repeats it."""
        with suppress(RedisError, OSError):  # the reply reader reports it
            stored: Mapping[bytes, bytes] = await self._client.hgetall(keys.registry_events())
            for name, text in stored.items():
                event = decode_event(text)  # None: a newer gateway wrote it, and handles it
                if event is not None and await self._handled(event):
                    await self._client.hdel(keys.registry_events(), name)
        await asyncio.sleep(LOOK_EVERY_S)

    async def _handled(self, event: RegistryEvent) -> bool:
        """→ False: it is to be tried again, or another gateway handles it."""
        try:
            async with self._publisher.alone(event.key):
                await self._published(event)
            if event.deploys:
                await self._deploy(event)
        except InvalidStateError:
            return False  # another gateway handles it, or a request changes the version
        except (InvalidInputError, VersionExistsError) as error:
            log.warning("registry_version_refused", model=event.key, source=event.source, reason=error.detail)
            return True
        except ServiceError as error:
            log.warning("registry_pull_delayed", model=event.key, reason=error.detail)
            return time.time() - event.at_us / 1e6 > GIVE_UP_S
        return True

    # -- publishing ----------------------------------------------------------------------------------------

    async def _published(self, event: RegistryEvent) -> None:
        """Publish the version, unless it is. Raises InvalidInputError if it cannot be pulled or verified."""
        publisher = self._publisher
        if await publisher.is_stored(event.model, event.version):
            return
        async with publisher.attempt(event.key, event.by) as publication:
            manifest = await self._pulled(event, publication)
            await asyncio.to_thread(publisher.store.publish, publication, manifest)
        await publisher.published(manifest, event.by)

    async def _pulled(self, event: RegistryEvent, publication: str) -> ArtifactManifest:
        """Wait until a worker has pulled and verified the version. → its manifest"""
        found = await self._publisher.verifications.verdict_of(
            Candidate(
                id=publication,
                model=event.model,
                version=event.version,
                place=incoming_path(publication),
                files={},
                source=event.source,
                expires_at_ms=await self._publisher.verifications.expires_at_ms(),
            )
        )
        if found.problem or found.manifest is None:
            raise InvalidInputError(f"{event.source}: {foreign_text(found.problem)}")
        return structs.replace(found.manifest, published_at=now(), published_by=event.by)

    # -- deploying -----------------------------------------------------------------------------------------

    async def _deploy(self, event: RegistryEvent) -> None:
        """Serve the version, unless a newer event names another. Raises PreconditionFailedError."""
        deployments = self._publisher.deployments
        for attempt in range(_ATTEMPTS):
            if await self._client.zscore(keys.registry_aliases(), event.model) != event.at_us:
                return
            before = await deployments.read(event.model)
            target = self._target(event, before)
            if before is not None and target == before.target:
                return
            changed = Deployment(
                model=event.model,
                target=target,
                replaced=before.target if before else None,
                change=Change(by=event.by, reason=f"alias {event.alias} of {event.registered}"),
            )
            try:
                await deployments.change(changed, before.generation if before else 0)
            except PreconditionFailedError:  # another change came first
                if attempt + 1 == _ATTEMPTS:
                    raise
            else:
                return

    def _target(self, event: RegistryEvent, before: Deployment | None) -> Target:
        """The version for all requests that name none, beside the versions that are wanted now."""
        if before is None:
            default = self._publisher.catalog.find(event.model).version
            built = self._publisher.catalog.repository.versions(event.model)
            wanted = [default] if default in built else []
            return Target(wanted=tuple(dict.fromkeys([*wanted, event.version])), default=event.version)
        target = before.target
        shadow = target.shadow if target.shadow and target.shadow.version != event.version else None
        return Target(
            wanted=_with_version(target, event.version),
            default=event.version,
            aliases=target.aliases,
            shadow=shadow,
        )


def _with_version(target: Target, version: str) -> tuple[str, ...]:
    """The wanted versions with a new default. If they are too many, the first that are not in use are left
    out. The present default stays, for a rollback."""
    used = {version, target.default, *target.aliases.values()}
    used |= {target.shadow.version} if target.shadow else set()
    wanted = list(dict.fromkeys([*target.wanted, version]))
    idle = [one for one in wanted if one not in used]
    dropped = idle[: max(0, len(wanted) - MOST_WANTED)]
    return tuple(one for one in wanted if one not in dropped)
