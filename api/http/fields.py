"""Header fields that may be repeated: their values form one comma-separated list (RFC 9110, 5.3)."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope

from shared.errors import PreconditionFailed


def field_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of a header field, repeated lines joined by commas; None if it is missing.

    `name` is in lower case.
    """
    lines = [value for found, value in headers if found == name]
    return b", ".join(lines) if lines else None


def require_match(scope: Scope) -> None:
    """Raises PreconditionFailed if the request has an `If-Match` that is false for a resource that exists.

    `If-Match` compares strongly (RFC 9110, 13.1.1), and no resource has a strong ETag: only `*` is true.
    """
    found = text_field(scope, "if-match")
    if found is not None and found.strip() != "*":
        raise PreconditionFailed


def text_field(scope: Scope, name: str) -> str | None:
    """The value of a request's header field as text; None if it is missing."""
    found = field_of(scope["headers"], name.encode())
    return None if found is None else found.decode("latin-1")
