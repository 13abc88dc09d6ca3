"""What Schemathesis does not know of our bodies."""

from __future__ import annotations

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context: schemathesis.SerializationContext, value: object) -> bytes:
    """A text as it is; anything else as one line."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()
