"""`POST /models/{name}/versions`: publishes a version."""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response

from api.access.principal import Caller
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.http.headers import field_of, preferred_wait_s
from api.http.request_bodies import body_parts
from api.jobs.job_views import as_json
from api.publishing.archives import MEDIA_TYPE, most_archive_bytes, unpack_archive
from api.publishing.incoming import UPLOADS, Incoming, read_incoming
from api.routes.versions import VersionView, view_of
from shared.errors import InvalidInputError, PayloadTooLargeError, StorageFullError
from shared.manifests import ArtifactManifest
from shared.publications import PublicationState
from shared.repository import ModelVersion
from shared.safe_texts import named
from shared.specs import NAME
from shared.temporary_folders import TemporaryFolder

router = APIRouter(tags=["models"])
log = structlog.get_logger()

_BLOCK_BYTES = 2**20
_BODY = {
    "required": True,
    "content": {media: {"schema": {"type": "string", "format": "binary"}} for media in (MEDIA_TYPE,)},
}


@router.post(
    "/models/{name}/versions",
    status_code=201,
    response_model=VersionView,
    responses=of_errors(409, 413, 422, 503)
    | {
        200: {"description": "The version was published before, with the same content", "model": VersionView},
        202: {"description": "A worker still verifies it: look at `Location`", "model": VersionView},
    },
    openapi_extra={"requestBody": _BODY},
)
async def publish(
    name: str,
    request: Request,
    gateway: GatewayState,
    caller: Caller,
    version: Annotated[
        str | None, Query(description="Default: that of manifest.json, else `default_version` of model.toml")
    ] = None,
) -> Response:
    """Publish a version: a tar archive (plain, gzip or zstd) of model.toml, manifest.json and its files.

    A worker verifies it before it is in the store; the answer waits for that, or as long as `Prefer: wait=N`
    says. Without a manifest.json the artifact is the only file of the framework's kind.
    """
    if not re.fullmatch(NAME, name):
        raise InvalidInputError(
            f"{named(name)} cannot be the name of a model: use small letters, digits, - _."
        )
    caller.require_sight(name)
    gateway.queue.require()
    gateway.publisher.verifications.require_worker()
    with gateway.publisher.receiving():
        folder = await asyncio.to_thread(TemporaryFolder, UPLOADS, gateway.settings.spool_dir)
        try:
            incoming = await _received(gateway, request, folder.path, name, version)
            stored = await gateway.publisher.stored(incoming)
        except BaseException:
            await asyncio.to_thread(folder.remove)
            raise
        work = gateway.publisher.running(_published(gateway, incoming, stored, folder, caller.name))
        asked_s = preferred_wait_s(field_of(request.scope["headers"], b"prefer"))
        most_s = gateway.settings.max_wait_s
        done, _ = await asyncio.wait({work}, timeout=most_s if asked_s is None else min(asked_s, most_s))
    headers = {"Location": f"/models/{name}/versions"}
    if not done:
        return as_json(_verifying(incoming, caller.name), status=202, headers=headers)
    manifest = work.result()
    view = view_of(gateway, ModelVersion(incoming.spec, manifest, incoming.folder))
    return as_json(view, status=201 if stored is None else 200, headers=headers)


async def _published(
    gateway: Gateway, incoming: Incoming, stored: ModelVersion | None, folder: TemporaryFolder, by: str
) -> ArtifactManifest:
    try:
        return stored.manifest if stored else await gateway.publisher.publish(incoming, by)
    finally:
        await asyncio.to_thread(folder.remove)


async def _received(
    gateway: Gateway, request: Request, folder: Path, name: str, version: str | None
) -> Incoming:
    """Raises InvalidInputError, PayloadTooLargeError, StorageFullError, UploadInterruptedError."""
    most_bytes = gateway.settings.max_version_bytes
    archive, unpacked = folder / "archive", folder / "unpacked"
    with _room_on_disk():
        await _spool(gateway, request, archive, most_archive_bytes(most_bytes))
        unpacked.mkdir()
        await asyncio.to_thread(unpack_archive, archive, unpacked, most_bytes)
        return await asyncio.to_thread(read_incoming, unpacked, name, version)


async def _spool(gateway: Gateway, request: Request, archive: Path, most_bytes: int) -> None:
    """Write the body to a file as it arrives."""
    length = field_of(request.scope["headers"], b"content-length") or b""
    if length.isdigit() and int(length) > most_bytes:
        raise _too_large(most_bytes)
    size_bytes, block = 0, bytearray()
    with archive.open("xb") as file:
        async for part in body_parts(request.receive, gateway.settings.upload_idle_s):
            size_bytes += len(part)
            if size_bytes > most_bytes:
                raise _too_large(most_bytes)
            block += part
            if len(block) >= _BLOCK_BYTES:
                await asyncio.to_thread(file.write, bytes(block))
                block.clear()
        await asyncio.to_thread(file.write, bytes(block))


@contextmanager
def _room_on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError("The gateway has no room for this version (TAKT_SPOOL_DIR).") from error
        raise


def _too_large(most_bytes: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"The archive is larger than {most_bytes} bytes; TAKT_MAX_VERSION_BYTES limits a version."
    )


def _verifying(incoming: Incoming, by: str) -> VersionView:
    return VersionView(
        model=incoming.spec.name,
        version=incoming.version,
        state=PublicationState.VERIFYING,
        size_bytes=incoming.size_bytes,
        sha256=None,
        framework=incoming.spec.framework,
        published_by=by,
        deployed=False,
    )
