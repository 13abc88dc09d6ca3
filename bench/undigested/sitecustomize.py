"""Takt without digests of stored objects, for `python -m bench.integrity`. Python runs this module at start.

Only digests of large objects are disabled; specs, manifests and records keep theirs. An object without a
recorded digest is read without a check, so that neither writing nor reading computes a digest.
"""

from __future__ import annotations

import contextlib

_LARGE_BYTES = 4096

with contextlib.suppress(ImportError):  # an interpreter without Takt
    from shared import integrity

    _object_digest = integrity.object_digest

    def _of_small_ones(data: bytes) -> str:
        return "" if len(data) > _LARGE_BYTES else _object_digest(data)

    integrity.object_digest = _of_small_ones
