"""JSON of every answer and result."""

from __future__ import annotations

import msgspec

encode = msgspec.json.Encoder().encode
"""An object as JSON bytes; dates are RFC 3339."""
