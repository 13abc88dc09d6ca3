"""Response headers that are set while a request is processed, whatever its outcome.

`RequestMiddleware` adds them to the response.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Scope

Header = tuple[bytes, bytes]
_PLACE = "takt.headers"


def add_headers(scope: Scope, *headers: Header) -> None:
    scope.setdefault(_PLACE, []).extend(headers)


def headers_of(scope: Scope) -> Sequence[Header]:
    found: Sequence[Header] = scope.get(_PLACE, ())
    return found
