"""Routes of the console. Its files need no API key; the API calls that it makes do."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

from api.jobs.views import matches
from api.routes.console.files import PAGE, StaticFile, read_files

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
