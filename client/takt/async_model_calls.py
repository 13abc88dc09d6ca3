"""Calls of the asyncio client about models: deployments, rollouts, and versions in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from takt import calls
from takt.async_session import AsyncSession
from takt.records import Json, Model
from takt.version_files import (
    LOOK_EVERY_S,
    PUBLISH_WAIT_S,
    archive_body,
    state_of,
    unpack_version,
    version_in,
)


class AsyncModelCalls(AsyncSession):
    """The calls about models."""

    async def deployment(self, model: str) -> Json:
        """Return which versions of a model are served: `await takt.deployment("iris")`."""
        return await self._do(calls.deployment(model))

    async def deploy(self, model: str, target: Json, *, generation: int | None = None) -> Json:
        """Change which versions of a model are served. `generation`: the one that is replaced.

        await takt.deploy("iris", {"wanted": ["1.0.0", "1.1.0"], "default": "1.1.0"})
        """
        return await self._do(calls.deploy(model, target, generation))

    async def roll_out(self, model: str, asked: Json) -> Json:
        """Move requests to a version in steps: `await takt.roll_out("iris", {"to": "1.1.0"})`."""
        return await self._do(calls.roll_out(model, asked))

    async def rollouts(self, model: str) -> Json:
        """Return the running rollout and the ended ones: `(await takt.rollouts("iris"))["running"]`."""
        return await self._do(calls.rollouts(model))

    async def roll_back(self, model: str, *, generation: int | None = None) -> Json:
        """Serve again what the last promotion replaced: `await takt.roll_back("iris")`.

        `generation`: the one that is replaced. With it, a rollback that is sent twice has one effect.
        """
        return await self._do(calls.roll_back(model, generation))

    async def publish(
        self,
        folder: str | Path,
        *,
        model: str | None = None,
        version: str | None = None,
        on_sent: Callable[[int], None] | None = None,
    ) -> Json:
        """Publish the version in a folder; returns once a worker has verified it, or refused it.

        await takt.publish("models/iris/1.1.0")

        Without a manifest.json, `model` and `version` are those of model.toml. Raises ValueError if the
        folder holds no version, OSError.
        """
        files = version_in(Path(folder), model=model, version=version)
        body = archive_body(files)
        call = calls.publish(files.model, body, files.version, PUBLISH_WAIT_S)
        found = await self._do(calls.reporting(call, on_sent) if on_sent else call)
        while found["state"] == "verifying":
            await asyncio.sleep(LOOK_EVERY_S)
            found = state_of(await self.versions(files.model), found["version"])
        return found

    async def pull(self, model: str, version: str, folder: str | Path) -> Path:
        """Write the files of a version to a new folder: `await takt.pull("iris", "1.1.0", "iris-1.1.0")`.

        Each is compared with its SHA-256 in the manifest. Raises ValueError if one differs, OSError.
        """
        with TemporaryDirectory(prefix="takt-") as place:
            archive = Path(place) / "version.tar"
            call = calls.archive(model, version)
            await self._retried(lambda: self._write(call, archive))
            return unpack_version(archive, Path(folder))

    async def versions(self, model: str) -> Json:
        """Return the versions of a model in the store: `(await takt.versions("iris"))["versions"]`."""
        return await self._do(calls.versions(model))

    async def verify_version(self, model: str, version: str) -> Json:
        """Have a worker verify a version again: `(await takt.verify_version("iris", "1.1.0"))["ok"]`."""
        return await self._do(calls.verify_version(model, version))

    async def delete_version(self, model: str, version: str) -> None:
        """Remove a version from the store: `await takt.delete_version("iris", "1.0.0")`.

        Raises Conflict if it is deployed, or unfinished jobs are pinned to it.
        """
        await self._do(calls.delete_version(model, version))

    async def models(self) -> list[Model]:
        """Return the served models: `[model.name for model in await takt.models()]`."""
        return await self._do(calls.models)
