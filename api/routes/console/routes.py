"""The console's routes. Its files are open to all; the data that they show needs the key of the API."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

from api.jobs.views import matches
from api.routes.console.files import PAGE, StaticFile, read_files

router = APIRouter(include_in_schema=False)
_files = cache(read_files)

# Nothing leaves the origin and nothing inline runs; DOM sinks that parse text are closed altogether.
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
    # asked for each time, answered with 304: a page and its modules are never of two releases
    "Cache-Control": "no-cache",
}

IfNoneMatch = Annotated[str | None, Header()]


@router.get("/")
async def front() -> Response:
    """People who open the service in a browser want the console."""
    return Response(status_code=302, headers={"Location": "/console", "Cache-Control": "no-cache"})


@router.get("/console")
@router.get("/console/")
async def page(if_none_match: IfNoneMatch = None) -> Response:
    """The page itself; what it shows is behind its `#`, so that a reload stays where it was."""
    return _answer(_files()[PAGE], if_none_match)


@router.get("/console/{name}")
async def file(name: str, if_none_match: IfNoneMatch = None) -> Response:
    """One of its files."""
    found = _files().get(name)
    if found is None:
        raise HTTPException(404, "There is no such file.")
    return _answer(found, if_none_match)


def _answer(found: StaticFile, if_none_match: str | None) -> Response:
    headers = HEADERS | {"ETag": found.etag}
    if matches(if_none_match, found.etag):
        return Response(status_code=304, headers=headers)
    return Response(found.content, headers=headers, media_type=found.media_type)
