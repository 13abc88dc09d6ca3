"""Integrity of stored objects: SHA-256 is recorded when an object is written and checked when it is read.

The ledger records the digest of each chunk's rows and result, see `shared/ledger/records.py`. Objects of an
older Takt without a digest are read without a check.

SHA-256 rather than a faster hash: OpenSSL uses the CPU's own instructions and releases the GIL, it needs no
installation, and a job's manifest contains SHA-256 digests. `python -m bench.integrity` compares the choices.
"""

from __future__ import annotations

import hashlib

from shared.errors import PayloadCorruptError

SHORT = 12
"""Hexadecimal digits of a digest in an error or a log."""


def digest_of(data: bytes) -> str:
    """The SHA-256 of an object, in hexadecimal. OpenSSL releases the GIL during the computation."""
    return hashlib.sha256(data).hexdigest()


def short(digest: str) -> str:
    """A digest as shown in errors."""
    return f"{digest[:SHORT]}…" if digest else "unknown"


def require_intact(data: bytes, recorded: str, what: str) -> bytes:
    """→ `data`, if its digest matches the recorded digest, or if none was recorded.

    Raises PayloadCorruptError; `what` names the object in the message.
    """
    if recorded and (digest := digest_of(data)) != recorded:
        raise PayloadCorruptError(
            f"{what}: SHA-256 is {short(digest)}, but {short(recorded)} was recorded when it was written; "
            "the object was changed since, and is not used"
        )
    return data
