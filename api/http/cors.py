"""Which pages of other origins may call this gateway from a browser (CORS). Cookies play no part: keys do."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

SHOWN = (
    *("ETag", "Location", "Preference-Applied", "RateLimit", "RateLimit-Policy", "Retry-After"),
    *("Server-Timing", "X-Model-Version", "X-Request-ID"),
)
"""Headers of our answers that a page may read."""


def open_to(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """`app`, for these origins too; none: as it is."""
    if not origins:
        return app
    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"], expose_headers=SHOWN
    )
