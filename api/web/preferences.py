"""`Prefer` (RFC 7240): how long a client is willing to wait, and whether it would rather have a job."""

from __future__ import annotations

import re

_ASYNC = re.compile(rb"(?:^|[,;])\s*respond-async\s*(?=[,;]|$)", re.IGNORECASE)
_WAIT = re.compile(rb"""(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=[,;]|$)""", re.IGNORECASE)


def preferred_wait_s(prefer: bytes | None) -> int | None:
    """The seconds of the first `wait` preference; None where there is none that can be understood.

    A preference that is not understood is ignored, as RFC 7240 asks.
    """
    found = _WAIT.search(prefer) if prefer else None
    return int(found[1]) if found else None


def prefers_async(prefer: bytes | None) -> bool:
    """Whether the client would rather have a job than an answer."""
    return bool(prefer and _ASYNC.search(prefer))
