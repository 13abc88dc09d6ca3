"""Integrity of stored objects: a digest is recorded when an object is written and checked when it is read.

The ledger records the digest of each chunk's rows and of its result, see `shared/ledger/records.py`. An
object of an older Takt without a recorded digest is read without a check.

Stored objects use BLAKE3, which is several times as fast as SHA-256; `python -m bench.integrity` compares the
hash functions. Artifacts, specs and records, which are small or read once, use SHA-256. Neither holds the
GIL while it computes a large digest.
"""

from __future__ import annotations

import hashlib

from blake3 import blake3

from shared.errors import PayloadCorruptError

SHORT = 12
"""Hexadecimal digits of a digest in an error or a log."""
_BLAKE3 = "blake3:"


def digest_of(data: bytes) -> str:
    """The SHA-256 of the data, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def object_digest(data: bytes) -> str:
    """The digest of a stored object: `blake3:` and 64 hexadecimal digits."""
    return _BLAKE3 + blake3(data).hexdigest()


def short(digest: str) -> str:
    """The beginning of a digest, for errors and logs."""
    hexadecimal = digest.removeprefix(_BLAKE3)
    return f"{hexadecimal[:SHORT]}…" if digest else "unknown"


def require_intact(data: bytes, recorded: str, what: str) -> bytes:
    """Returns `data` if it matches the recorded digest, or if none was recorded.

    A digest without a prefix is a SHA-256. Raises PayloadCorruptError; `what` names the object in it.
    """
    digest = object_digest if recorded.startswith(_BLAKE3) else digest_of
    if recorded and (found := digest(data)) != recorded:
        raise PayloadCorruptError(
            f"{what}: the digest is {short(found)}, but {short(recorded)} was recorded when it was written; "
            "the object was changed since, and is not used"
        )
    return data
