"""The versions of a model in the store: list, pull, verify, remove. `version_uploads` publishes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.access.principal import Caller, Principal
from api.gateway import Gateway, GatewayState
from api.http.error_answers import of_errors
from api.publishing.archives import ARCHIVE_END, MEDIA_TYPE, archive_bytes, entry_head, padding_of
from shared.ledger import JobHead
from shared.manifests import MANIFEST, ArtifactManifest
from shared.model_store import version_path
from shared.publications import Publication, PublicationState
from shared.repository import ModelVersion
from shared.safe_texts import foreign_text
from shared.spec_files import SPEC

router = APIRouter(tags=["models"])

_JOBS_AT_ONCE = 1000
_MOST_NAMED_JOBS = 5


class VersionView(BaseModel):
    model: str
    version: str
    state: PublicationState = Field(
        description="`published`: in the store. `verifying`: uploaded, a worker opens it. `refused`: not in "
        "the store, for `reason`"
    )
    reason: str = ""
    size_bytes: int
    sha256: str | None = Field(description="Digest of its files; null: not published")
    framework: str | None = None
    built_with: dict[str, str] = Field({}, description="Libraries that made its artifact")
    built_at: str | None = None
    published_at: str | None = Field(None, description="Null: it was not published through a gateway")
    published_by: str | None = None
    deployed: bool = Field(description="Whether its model's deployment wants it")


class VersionList(BaseModel):
    model: str
    versions: list[VersionView] = Field(description="The oldest version first")


class VerificationView(BaseModel):
    model: str
    version: str
    ok: bool
    problem: str = Field(description="Empty: digests, loading and golden rows are correct")
    rows_per_s: float
    warnings: list[str]
    seconds: float
    worker: str


@router.get("/models/{name}/versions", responses=of_errors(404, 503))
async def list_versions(name: str, gateway: GatewayState, caller: Caller) -> VersionList:
    """List the versions of a model in the store, and those that were refused or are being verified."""
    caller.require_sight(name)
    await gateway.publisher.reload()
    repository = gateway.catalog.repository
    attempts = await gateway.publisher.attempts(name)
    built = repository.versions(name) if name in repository.specs else []
    if not built and not attempts:
        repository.spec(name)  # raises if there is no such model
    stored = await asyncio.to_thread(lambda: [repository.version(name, one) for one in built])
    views = [view_of(gateway, one) for one in stored]
    known = set(built)
    views += [attempt_view(name, one) for one in attempts if one.version not in known]
    return VersionList(model=name, versions=views)


@router.get(
    "/models/{name}/versions/{version}/archive",
    responses=of_errors(404, 503) | {200: {"content": {MEDIA_TYPE: {}}, "description": "A tar archive"}},
    response_class=Response,
)
async def archive(name: str, version: str, gateway: GatewayState, caller: Caller) -> Response:
    """The files of a version with model.toml and manifest.json, as a tar archive."""
    stored = await stored_version(gateway, name, version, caller)
    manifest = stored.manifest
    small = {MANIFEST: await asyncio.to_thread((stored.folder / MANIFEST).read_bytes)}
    if SPEC not in manifest.files:
        small[SPEC] = await asyncio.to_thread((gateway.catalog.root.root / name / SPEC).read_bytes)
    sizes = {path: len(content) for path, content in small.items()} | _sizes(manifest)
    headers = {
        "Content-Length": str(archive_bytes(iter(sizes.items()))),
        "Content-Disposition": f'attachment; filename="{name}-{version}.tar"',
        "ETag": f'"{manifest.sha256}"',
    }
    pieces = _pieces(gateway, stored, small)
    return StreamingResponse(pieces, media_type=MEDIA_TYPE, headers=headers)


@router.post("/models/{name}/versions/{version}/verify", responses=of_errors(404, 422, 503))
async def verify(name: str, version: str, gateway: GatewayState, caller: Caller) -> VerificationView:
    """Have a worker check the digests of a stored version, load it and run its golden rows."""
    stored = await stored_version(gateway, name, version, caller)
    gateway.publisher.verifications.require_worker()
    found = await gateway.publisher.verify(stored)
    return VerificationView(
        model=name,
        version=version,
        ok=not found.problem,
        problem=foreign_text(found.problem),
        rows_per_s=found.rows_per_s,
        warnings=list(map(foreign_text, found.warnings)),
        seconds=found.seconds,
        worker=found.worker,
    )


@router.delete("/models/{name}/versions/{version}", status_code=204, responses=of_errors(404, 409, 503))
async def remove(name: str, version: str, gateway: GatewayState, caller: Caller) -> Response:
    """Remove a version that is not deployed, and to which no unfinished job is pinned, from the store."""
    stored = await stored_version(gateway, name, version, caller)

    async def jobs() -> list[str]:
        return await _pinned_jobs(gateway, name, version)

    await gateway.publisher.remove(stored, jobs, caller.name)
    return Response(status_code=204)


async def stored_version(gateway: Gateway, name: str, version: str, caller: Principal) -> ModelVersion:
    """A version of the store, as of now. Raises ModelNotFoundError."""
    caller.require_sight(name)
    await gateway.publisher.reload()
    return await asyncio.to_thread(gateway.catalog.repository.version, name, version)


def view_of(gateway: Gateway, stored: ModelVersion) -> VersionView:
    manifest = stored.manifest
    deployment = gateway.deployments.known.get(manifest.model)
    wanted = deployment.target.wanted if deployment else ()
    return VersionView(
        model=manifest.model,
        version=manifest.version,
        state=PublicationState.PUBLISHED,
        size_bytes=manifest.size_bytes,
        sha256=manifest.sha256,
        framework=stored.spec.framework,
        built_with=manifest.frameworks,
        built_at=manifest.created_at,
        published_at=manifest.published_at or None,
        published_by=manifest.published_by or None,
        deployed=manifest.version in wanted,
    )


def attempt_view(name: str, attempt: Publication) -> VersionView:
    return VersionView(
        model=name,
        version=attempt.version,
        state=attempt.state,
        reason=attempt.reason,
        size_bytes=attempt.size_bytes,
        sha256=None,
        published_by=attempt.by,
        deployed=False,
    )


def _sizes(manifest: ArtifactManifest) -> dict[str, int]:
    files = {name: file.size_bytes for name, file in manifest.files.items()}
    return files or {manifest.artifact: manifest.size_bytes}


async def _pieces(gateway: Gateway, stored: ModelVersion, small: dict[str, bytes]) -> AsyncIterator[bytes]:
    """A piece ends the answer early if the store fails: the length of the body then shows it."""
    for name, content in small.items():
        yield entry_head(name, len(content)) + content + padding_of(len(content))
    place = version_path(stored.spec.name, stored.manifest.version)
    for name, size_bytes in _sizes(stored.manifest).items():
        yield entry_head(name, size_bytes)
        async for piece in gateway.publisher.store.pieces_async(f"{place}/{name}"):
            yield piece
        yield padding_of(size_bytes)
    yield ARCHIVE_END


async def _pinned_jobs(gateway: Gateway, name: str, version: str) -> list[str]:
    """The unfinished jobs of a version, in words."""
    found: list[str] = []
    last: JobHead | None = None
    ledger = gateway.jobs.ledger
    while heads := await ledger.newest_heads(
        None,
        before_ms=last.created_at_ms if last else None,
        after_id=last.id if last else None,
        most=_JOBS_AT_ONCE,
    ):
        open_ids = [head.id for head in heads if head.model == name and not head.state.ended]
        found += [job.id for job in await ledger.read_all(open_ids) if job.version == version]
        last = heads[-1]
    more = f" and {len(found) - _MOST_NAMED_JOBS} more" if len(found) > _MOST_NAMED_JOBS else ""
    return [f"unfinished jobs: {', '.join(found[:_MOST_NAMED_JOBS])}{more}"] if found else []
