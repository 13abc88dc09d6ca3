"""CORS: pages of other origins (`TAKT_CORS_ORIGINS`) that may call this gateway, and the readable headers.

Starlette's middleware adds the headers around all routes. Early rejections and the fast path answer without
that middleware, so they do not answer requests that have an `Origin`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

ORIGIN = b"origin"
EXPOSED_HEADERS = (
    *("ETag", "Location", "Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After"),
    *("Server-Timing", "X-Model-Version", "X-Request-ID"),
)
"""Response headers that a page of another origin may read."""


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """`app` with CORS for these origins; `app` itself if there are none."""
    if not origins:
        return app
    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"], expose_headers=EXPOSED_HEADERS
    )


def is_of_page(headers: Container[bytes]) -> bool:
    """Whether a browser sent the request for a page, whose response may need CORS headers."""
    return ORIGIN in headers
