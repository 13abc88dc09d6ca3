"""The records by which a gateway has a version verified by a worker before it publishes it.

The gateway stores the files where only a publication looks for them, and adds a candidate. A worker claims
it, opens the files in a process of its own, and stores a verdict. Then the gateway publishes the version, or
discards the files. A gateway never opens an artifact.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import msgspec

from shared.manifests import ArtifactManifest, VersionFile

CLAIM_S = 10.0
"""Time after which a candidate of a worker that was killed is verified by another."""
VERDICT_KEPT_S = 3600.0
PUBLICATIONS_KEPT_S = 7 * 86_400.0


class PublicationState(StrEnum):
    """States of a version that is, or is not, in the store."""

    VERIFYING = "verifying"  # uploaded; a worker opens it
    REFUSED = "refused"  # not in the store, for the reason in `reason`
    PUBLISHED = "published"


class Publication(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt to publish a version."""

    id: str
    version: str
    state: PublicationState
    at: str  # UTC, RFC 3339
    by: str
    size_bytes: int
    reason: str = ""


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version that a worker is to verify."""

    id: str
    model: str
    version: str
    place: str  # of its files in the store
    files: dict[str, VersionFile]
    source: str = ""  # of its files, instead of the store: the URI of a registered model of MLflow
    manifest: ArtifactManifest | None = None  # None: the worker finds the artifact and what made it
    expires_at_ms: int  # no gateway waits for the verdict after that, by Redis' clock


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a verification."""

    problem: str = ""  # empty: digests, loading and golden rows are correct
    manifest: ArtifactManifest | None = None
    rows_per_s: float = 0.0
    warnings: list[str] = []
    seconds: float = 0.0
    worker: str = ""


T = TypeVar("T")


def encode(record: Publication | Candidate | Verdict) -> bytes:
    return msgspec.json.encode(record)


def decode(text: bytes, kind: type[T]) -> T | None:
    """None if the record cannot be read, for example because a newer Takt wrote it."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError:
        return None
