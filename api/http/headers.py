"""Header fields: repeated fields, `Prefer` (RFC 7240), and headers that every outcome of a request gets.

`Prefer` sets `wait` and `respond-async`. If a preference is repeated, the first value counts. Unknown
preferences are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from starlette.types import Scope

from shared.errors import PreconditionFailedError

_ELEMENT = re.compile(rb"""\s*([^\s=,;"]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^,;]*))?[^,;]*(?:[,;]|$)""")
_SECONDS = re.compile(rb"\d{1,9}")
Header = tuple[bytes, bytes]
_PLACE = "takt.headers"
"""Key of the added response headers in a request's scope."""


def field_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of a header field, repeated lines joined by commas; None if it is missing.

    `name` is in lower case.
    """
    lines = [value for found, value in headers if found == name]
    return b", ".join(lines) if lines else None


def require_match(scope: Scope) -> None:
    """Raises PreconditionFailedError if the request has an `If-Match` that is false for a resource that
    exists.

    `If-Match` compares strongly (RFC 9110, 13.1.1), and no resource has a strong ETag: only `*` is true.
    """
    found = text_field(scope, "if-match")
    if found is not None and found.strip() != "*":
        raise PreconditionFailedError


def text_field(scope: Scope, name: str) -> str | None:
    """The value of a request's header field as text; None if it is missing."""
    found = field_of(scope["headers"], name.encode())
    return None if found is None else found.decode("latin-1")


def preferred_wait_s(prefer: bytes | None) -> int | None:
    """The seconds of the `wait` preference; None if there is none, or if the first is not a whole number."""
    wait = _preferences(prefer).get(b"wait") if prefer else None
    return int(wait) if wait is not None and _SECONDS.fullmatch(wait) else None


def prefers_async(prefer: bytes | None) -> bool:
    """Whether the client prefers `respond-async`: a job instead of a direct response."""
    return prefer is not None and b"respond-async" in _preferences(prefer)


@lru_cache(maxsize=64)
def _preferences(prefer: bytes) -> Mapping[bytes, bytes]:
    """The first value of each preference and of each parameter, by lower-case name.

    Parameters count as preferences, so `respond-async; wait=5` sets `wait`.
    """
    found: dict[bytes, bytes] = {}
    for name, value in _ELEMENT.findall(prefer):
        found.setdefault(name.lower(), value.strip().strip(b'"'))
    return found


def add_headers(scope: Scope, *headers: Header) -> None:
    """Add headers to the response of a request, whatever its outcome. `RequestMiddleware` sends them."""
    scope.setdefault(_PLACE, []).extend(headers)


def headers_of(scope: Scope) -> Sequence[Header]:
    """The headers that were added to the response of a request."""
    found: Sequence[Header] = scope.get(_PLACE, ())
    return found
