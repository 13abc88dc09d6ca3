"""Header fields that may be repeated: their values form one comma-separated list (RFC 9110, 5.3)."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope


def field_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of a header field, repeated lines joined by commas; None if it is missing.

    `name` is in lower case.
    """
    lines = [value for found, value in headers if found == name]
    return b", ".join(lines) if lines else None


def text_field(scope: Scope, name: str) -> str | None:
    """The value of a request's header field as text; None if it is missing."""
    found = field_of(scope["headers"], name.encode())
    return None if found is None else found.decode("latin-1")
