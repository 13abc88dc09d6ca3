"""Header fields that may stand on several lines: their lines are one list (RFC 9110, 5.3)."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope


def field_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of a field, its lines joined by commas; None if there is no such field."""
    lines = [value for found, value in headers if found == name]
    return b", ".join(lines) if lines else None


def text_field(scope: Scope, name: str) -> str | None:
    """The same of a request, as text."""
    found = field_of(scope["headers"], name.encode())
    return None if found is None else found.decode("latin-1")
