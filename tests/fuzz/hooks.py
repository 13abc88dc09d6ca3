"""Schemathesis hooks for Takt's media types."""

from __future__ import annotations

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context: schemathesis.SerializationContext, value: object) -> bytes:
    """A text unchanged; any other value as a line."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.serializer("application/x-tar")
def archive(context: schemathesis.SerializationContext, value: object) -> bytes:
    """Bytes that are no archive."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
