"""Integrity of stored objects: SHA-256 is recorded when an object is written and checked when it is read.

The ledger records the digest of each chunk's rows and of its result, see `shared/ledger/records.py`. An
object of a Takt that recorded none is read without a check.

SHA-256 and no faster hash: OpenSSL computes it with the CPU's own instructions and without the GIL, nothing
has to be installed, and a job's manifest names SHA-256. `python -m bench.integrity` compares the choices.
"""

from __future__ import annotations

import hashlib

from shared.errors import PayloadCorrupt

SHORT = 12
"""Hexadecimal digits of a digest in an error or a log."""


def digest_of(data: bytes) -> str:
    """The SHA-256 of an object, in hexadecimal. OpenSSL does not hold the GIL while it computes."""
    return hashlib.sha256(data).hexdigest()


def short(digest: str) -> str:
    """A digest as an error names it."""
    return f"{digest[:SHORT]}…" if digest else "unknown"


def require_intact(data: bytes, recorded: str, what: str) -> bytes:
    """→ `data`, if its digest is the one that was recorded, or if none was.

    Raises PayloadCorrupt; `what` names the object in it.
    """
    if recorded and (digest := digest_of(data)) != recorded:
        raise PayloadCorrupt(
            f"{what}: SHA-256 is {short(digest)}, but {short(recorded)} was recorded when it was written; "
            "the object was changed since, and is not used"
        )
    return data
