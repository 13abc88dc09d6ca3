"""Publishes and removes versions in the model store.

    upload ─▶ checked here ─▶ .incoming/{id} in the store ─▶ a worker verifies it ─▶ <name>/<version>
                                                                   └▶ refused: the files are removed

A gateway that ends meanwhile leaves files in `.incoming`, which a later publication removes, and the client
sends the version again. A lock lets one request at a time change a version.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from time import time
from typing import Any
from uuid import uuid4

import structlog
from msgspec import structs
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.models.catalog import Catalog
from api.models.deployment_store import Deployments
from api.publishing.incoming import Incoming, now
from api.publishing.verifications import Verifications
from shared import keys
from shared.deployments import Deployment
from shared.errors import (
    InvalidInputError,
    InvalidStateError,
    OverloadedError,
    ServiceError,
    VersionExistsError,
)
from shared.keys import ModelKey, model_key, split_model_key
from shared.manifests import ArtifactManifest
from shared.model_store import ModelStore, incoming_path, version_path
from shared.publications import (
    PUBLICATIONS_KEPT_S,
    Candidate,
    Publication,
    PublicationState,
    Verdict,
    decode,
    encode,
)
from shared.repository import ModelVersion
from shared.safe_texts import foreign_text, listed

log = structlog.get_logger()

MOST_UPLOADS = 2
"""Versions that one gateway receives at the same time."""
FOLLOWED_S = 2.0
"""Time after a change of a deployment by which every gateway that reaches Redis follows it."""
_RETRY_S = 5.0
_LOCK_S = 30.0
_ABANDONED_S = 86_400.0
"""Age after which incoming files belong to a gateway that has ended."""


@dataclass(frozen=True)
class Publisher:
    """Changes the model store."""

    client: Redis
    store: ModelStore
    catalog: Catalog
    deployments: Deployments
    verifications: Verifications
    _running: set[asyncio.Task[ArtifactManifest]] = field(default_factory=set)
    _receiving: list[None] = field(default_factory=list)

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Receive an upload within the block. Raises OverloadedError if too many are received."""
        if len(self._receiving) >= MOST_UPLOADS:
            raise OverloadedError(
                f"This gateway already receives {MOST_UPLOADS} model versions.", retry_after_s=_RETRY_S
            )
        self._receiving.append(None)
        try:
            yield
        finally:
            self._receiving.pop()

    def running(self, work: Coroutine[Any, Any, ArtifactManifest]) -> asyncio.Task[ArtifactManifest]:
        """Run a publication, which continues if its client leaves."""
        task = asyncio.create_task(work, name="publication")
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[ArtifactManifest]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # it was logged; without a client nobody else asks for it

    async def close(self) -> None:
        """End the publications; their files are removed."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def stored(self, incoming: Incoming) -> ModelVersion | None:
        """The version if it was published before with the same content; None: it was not published.

        Raises VersionExistsError if it has other content.
        """
        name = incoming.spec.name
        if not await self.is_stored(name, incoming.version):
            return None
        stored = await asyncio.to_thread(self.catalog.root.version, name, incoming.version)
        if await asyncio.to_thread(incoming.is_the_same_as, stored):
            return stored
        raise VersionExistsError(
            f"{incoming.key} was published before, with other content: publish the new one under another "
            "version."
        )

    async def is_stored(self, model: str, version: str) -> bool:
        """Whether a version is in the store now."""
        await self.reload()
        root = self.catalog.root
        return model in root.specs and version in root.versions(model)

    async def publish(self, incoming: Incoming, by: str) -> ArtifactManifest:
        """Have a worker verify a version, then publish it. → its manifest

        Raises InvalidInputError if it does not verify, InvalidStateError if another request publishes it,
        ModelNotLoadedError without a worker, ModelStoreError, RedisError.
        """
        async with self.alone(incoming.key):
            if (stored := await self.stored(incoming)) is not None:
                return stored.manifest
            async with self.attempt(incoming.key, by, incoming.size_bytes) as publication:
                await asyncio.to_thread(self._upload, publication, incoming)
                manifest = await self._verified(incoming, publication, by)
                await asyncio.to_thread(self.store.publish, publication, manifest)
            await self.published(manifest, by)
        return manifest

    @asynccontextmanager
    async def attempt(self, key: ModelKey, by: str, size_bytes: int = 0) -> AsyncIterator[str]:
        """An attempt to publish a version, by its id. If the block raises, its files are removed, and the
        reason is kept for `GET /models/{name}/versions`. Raises RedisError."""
        model, version = split_model_key(key)
        begun = Publication(
            id=uuid4().hex,
            version=version,
            state=PublicationState.VERIFYING,
            at=now(),
            by=by,
            size_bytes=size_bytes,
        )
        try:
            await self._record(model, begun)
            yield begun.id
        except BaseException as error:
            reason = error.detail if isinstance(error, ServiceError) else "the gateway did not finish it"
            log.warning("version_refused", model=key, by=by, reason=reason)
            with suppress(RedisError):
                refused = PublicationState.REFUSED
                await self._record(model, structs.replace(begun, state=refused, at=now(), reason=reason))
            with suppress(ServiceError):
                await asyncio.to_thread(self.store.discard, begun.id)
            raise

    async def _record(self, model: str, attempt: Publication) -> None:
        key = keys.publications(model)
        await self._any_client.hset(key, attempt.version, encode(attempt))
        await self._any_client.expire(key, round(PUBLICATIONS_KEPT_S))

    async def published(self, manifest: ArtifactManifest, by: str) -> None:
        """A version is in the store: forget the attempt, and make all gateways read the store again."""
        await self._any_client.hdel(keys.publications(manifest.model), manifest.version)
        await self._announce()
        key = model_key(manifest.model, manifest.version)
        log.info("version_published", model=key, by=by, size_bytes=manifest.size_bytes)

    async def verify(self, version: ModelVersion) -> Verdict:
        """Have a worker verify a published version again. Raises as `publish`."""
        manifest = version.manifest
        listed_files = dict(manifest.files)
        if not listed_files:
            raise InvalidInputError(
                f"{version.key} has a manifest of schema 1, without a list of files: build it again."
            )
        return await self.verifications.verdict_of(
            Candidate(
                id=uuid4().hex,
                model=manifest.model,
                version=manifest.version,
                place=version_path(manifest.model, manifest.version),
                files=listed_files,
                manifest=manifest,
                expires_at_ms=await self.verifications.expires_at_ms(),
            )
        )

    async def remove(self, version: ModelVersion, uses: Callable[[], Awaitable[list[str]]], by: str) -> None:
        """Remove a version unless it is in use. Raises InvalidStateError, ModelStoreError, RedisError."""
        name, number = version.spec.name, version.manifest.version
        async with self.alone(version.key):
            if reasons := await self._deployed_as(name, number):
                raise InvalidStateError(f"{version.key} is in use: {listed(reasons)}.")
            await self._followed(name)
            if reasons := [*await self._deployed_as(name, number), *await uses()]:
                raise InvalidStateError(f"{version.key} is in use: {listed(reasons)}.")
            await asyncio.to_thread(self.store.remove_version, name, number)
            await self._announce()
        log.info("version_removed", model=version.key, by=by)

    async def _followed(self, name: str) -> None:
        """Wait until all gateways follow the newest deployment: until then, one may pin a new job to the
        version that it replaced."""
        deployment = await self.deployments.read(name)
        if deployment is not None:
            seconds, micros = await self._any_client.time()
            age_s = seconds + micros / 1e6 - deployment.changed_at_ms / 1000
            await asyncio.sleep(min(FOLLOWED_S, max(0.0, FOLLOWED_S - age_s)))

    async def attempts(self, model: str) -> list[Publication]:
        """The publications that have not succeeded. Raises RedisError."""
        stored = await self._any_client.hgetall(keys.publications(model))
        found = [one for text in stored.values() if (one := decode(text, Publication)) is not None]
        return [await self._as_of_now(model, one) for one in found]

    async def _as_of_now(self, model: str, attempt: Publication) -> Publication:
        """An attempt without its lock is that of a gateway that was killed."""
        lock = keys.publishing(model_key(model, attempt.version))
        if attempt.state is not PublicationState.VERIFYING or await self._any_client.exists(lock):
            return attempt
        reason = "the gateway that received it has ended; publish it again"
        return structs.replace(attempt, state=PublicationState.REFUSED, reason=reason)

    async def reload(self) -> None:
        """Read the store again."""
        await asyncio.to_thread(self.catalog.reload)

    @asynccontextmanager
    async def alone(self, key: ModelKey) -> AsyncIterator[None]:
        """Change a version while no other request does. Raises InvalidStateError if one does."""
        lock, holder = keys.publishing(key), uuid4().hex
        if not await self._any_client.set(lock, holder, nx=True, px=round(_LOCK_S * 1000)):
            raise InvalidStateError(f"Another request publishes or removes {key} now: try again later.")
        renewal = asyncio.create_task(self._renew(lock))
        try:
            yield
        finally:
            renewal.cancel()
            with suppress(RedisError):
                await self._any_client.delete(lock)

    @property
    def _any_client(self) -> Any:  # Any: redis-py's union of RESP2 and RESP3 answers
        return self.client

    async def _renew(self, lock: str) -> None:
        while True:
            await asyncio.sleep(_LOCK_S / 3)
            with suppress(RedisError):
                await self._any_client.pexpire(lock, round(_LOCK_S * 1000))

    def _upload(self, publication: str, incoming: Incoming) -> None:
        self.store.discard_older(time() - _ABANDONED_S)
        for name in incoming.files:
            self.store.put(f"{incoming_path(publication)}/{name}", incoming.folder / name)

    async def _verified(self, incoming: Incoming, publication: str, by: str) -> ArtifactManifest:
        sent = incoming.manifest
        found = await self.verifications.verdict_of(
            Candidate(
                id=publication,
                model=incoming.spec.name,
                version=incoming.version,
                place=incoming_path(publication),
                files=dict(incoming.files),
                manifest=incoming.manifest_of(sent, by) if sent else None,
                expires_at_ms=await self.verifications.expires_at_ms(),
            )
        )
        if found.problem or found.manifest is None:
            raise InvalidInputError(f"{incoming.key} does not verify: {foreign_text(found.problem)}")
        return incoming.manifest_of(found.manifest, by)

    async def _announce(self) -> None:
        """Have this gateway, and soon the others, read the store again."""
        await self.deployments.versions_changed()
        await self.deployments.look()
        await self.reload()

    async def _deployed_as(self, name: str, version: str) -> list[str]:
        """The uses of a version in the deployment of a model."""
        deployment = await self.deployments.read(name)
        if deployment is None:
            declared = self.catalog.root.specs[name].default_version
            is_declared = name not in self.catalog.root.published and version == declared
            return ["it is the default_version of model.toml"] if is_declared else []
        return uses_of(deployment, version)


def uses_of(deployment: Deployment, version: str) -> list[str]:
    """The uses of a version in a deployment, as text."""
    target, rollout = deployment.target, deployment.rollout
    found = ["the default"] if version == target.default else []
    found += [f"alias {alias}" for alias, one in target.aliases.items() if one == version]
    found += [f"{target.split[version]:g} % of the requests"] if target.split.get(version) else []
    if rollout is not None and rollout.running and version in (rollout.of, rollout.to):
        found.append("the running rollout")
    if target.shadow is not None and version == target.shadow.version:
        found.append("the shadow")
    if version in target.wanted and not found:
        found.append("deployed: drop it with `takt deploy MODEL VERSION --only`")
    return found
