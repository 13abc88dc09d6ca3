"""`Prefer` (RFC 7240): how long a client is willing to wait, and whether it prefers a job to an answer.

A preference that is sent more than once counts as it was sent first, on whichever line. One that is not
understood is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

_ELEMENT = re.compile(rb"""\s*([^\s=,;"]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^,;]*))?[^,;]*(?:[,;]|$)""")
_SECONDS = re.compile(rb"\d{1,9}")


def preferred_wait_s(prefer: bytes | None) -> int | None:
    """The seconds of the `wait` preference; None if there is none, or if the first is not a whole number."""
    said = _preferences(prefer).get(b"wait") if prefer else None
    return int(said) if said is not None and _SECONDS.fullmatch(said) else None


def prefers_async(prefer: bytes | None) -> bool:
    """Whether the client prefers a job to an answer."""
    return prefer is not None and b"respond-async" in _preferences(prefer)


@lru_cache(maxsize=64)
def _preferences(prefer: bytes) -> Mapping[bytes, bytes]:
    """The first value of each preference and of each parameter, by its name in lower case.

    Parameters count as preferences: `respond-async; wait=5` has always been read so.
    """
    found: dict[bytes, bytes] = {}
    for name, value in _ELEMENT.findall(prefer):
        found.setdefault(name.lower(), value.strip().strip(b'"'))
    return found
