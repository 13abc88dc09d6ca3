"""The operator console at /console: static pages that read the public API like any client.

The files need no API key; the API calls that the console makes do. They are plain HTML, CSS and ES modules,
read once and served unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

from api.jobs.job_views import matches

FOLDER = Path(__file__).parents[2] / "console"
PAGE = "index.html"

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StaticFile:
    """A file with its media type. `etag` changes with the content."""

    content: bytes
    media_type: str
    etag: str


def read_files(folder: Path = FOLDER) -> Mapping[str, StaticFile]:
    """The files of the folder by name. Only these files are served."""
    return {path.name: _read(path) for path in sorted(folder.iterdir()) if path.suffix in _MEDIA_TYPES}


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    digest = hashlib.blake2b(content, digest_size=12).hexdigest()
    return StaticFile(content, _MEDIA_TYPES[path.suffix], f'"{digest}"')


router = APIRouter(include_in_schema=False)
_files = cache(read_files)

# No requests to other origins, no inline code; Trusted Types disable DOM sinks that parse text.
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # browsers revalidate each file (304), so that a page never mixes the modules of two releases
    "Cache-Control": "no-cache",
}

IfNoneMatch = Annotated[str | None, Header()]


@router.get("/")
async def front() -> Response:
    """Redirect browsers to the console."""
    return Response(status_code=302, headers={"Location": "/console", "Cache-Control": "no-cache"})


@router.get("/console")
@router.get("/console/")
async def page(if_none_match: IfNoneMatch = None) -> Response:
    """The console's page. The view is in the URL fragment, so that a reload keeps it."""
    return _answer(_files()[PAGE], if_none_match)


@router.get("/console/{name}")
async def file(name: str, if_none_match: IfNoneMatch = None) -> Response:
    """A file of the console."""
    found = _files().get(name)
    if found is None:
        raise HTTPException(404, "File not found.")
    return _answer(found, if_none_match)


def _answer(found: StaticFile, if_none_match: str | None) -> Response:
    headers = HEADERS | {"ETag": found.etag}
    if matches(if_none_match, found.etag):
        return Response(status_code=304, headers=headers)
    return Response(found.content, headers=headers, media_type=found.media_type)
