"""The `Prefer` header (RFC 7240): `wait` and `respond-async`.

If a preference is repeated, the first value counts. Unknown preferences are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_ELEMENT = re.compile(rb"""\s*([^\s=,;"]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^,;]*))?[^,;]*(?:[,;]|$)""")
_SECONDS = re.compile(rb"\d{1,9}")


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
