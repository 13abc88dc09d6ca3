"""Cross-origin requests from browsers (CORS). API keys authenticate them; cookies are not used."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

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
