"""Identity of a model version: the digests of its spec and artifact, which must match in gateway and worker.

The digest of a spec covers the meaning of rows and answers: comments, descriptions and batch sizes may
differ. Fields with their default value are left out, so that a field added by a newer Takt does not change
the digest of specs without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from shared.integrity import digest_of, short

if TYPE_CHECKING:
    from shared.specs import ModelSpec

_PART_BYTES = 16
"""Bytes of a digest in an entry of the online lane: enough to distinguish two, at half the length."""
SAME_ON_BOTH = (
    "Gateway and worker need the same model.toml and the same build: deploy one models folder to both, then "
    "restart the process that has the old version."
)
"""Advice for an operator about a difference."""
_MEANING: Any = {"name", "framework", "classes", "inputs", "outputs", "tolerance"}
_NOT_MEANT: Any = {
    "inputs": {"__all__": {"aliases", "description", "example"}},
    "outputs": {"__all__": {"description"}},
}


@dataclass(frozen=True)
class ModelIdentity:
    """The digests of a model version in a process; empty if unknown."""

    spec_sha256: str
    artifact_sha256: str = ""

    @cached_property
    def wire(self) -> bytes:
        """The form in an entry: a part of the spec's digest, and of the artifact's if it is known."""
        return _part(self.spec_sha256) + _part(self.artifact_sha256)

    def differs(self, spec_sha256: str, artifact_sha256: str) -> bool:
        """Whether another process has another spec or artifact. An unknown digest is no difference."""
        return _differ(self.spec_sha256, spec_sha256) or _differ(self.artifact_sha256, artifact_sha256)

    def in_words(self) -> str:
        return in_words(self.spec_sha256, self.artifact_sha256)


def in_words(spec_sha256: str, artifact_sha256: str) -> str:
    """`spec 1234…, artifact 5678…`"""
    return f"spec {short(spec_sha256)}, artifact {short(artifact_sha256)}"


def wire_in_words(wire: bytes) -> str:
    return in_words(wire[:_PART_BYTES].hex(), wire[_PART_BYTES:].hex())


def wires_differ(mine: bytes, theirs: bytes) -> bool:
    """`ModelIdentity.differs` for two wire forms; an older Takt sends an empty form."""
    if mine == theirs or not mine or not theirs:
        return False
    spec, artifact = slice(0, _PART_BYTES), slice(_PART_BYTES, None)
    return mine[spec] != theirs[spec] or _differ(mine[artifact], theirs[artifact])


def spec_digest(spec: ModelSpec) -> str:
    """SHA-256 over the meaning of a spec, as compact JSON with sorted names."""
    meant = spec.model_dump(mode="json", include=_MEANING, exclude=_NOT_MEANT, exclude_defaults=True)
    if options := spec.options.model_dump(mode="json", exclude_defaults=True):
        meant[spec.framework] = options
    return digest_of(msgspec.json.encode(_normal(meant), order="sorted"))


def _normal(value: Any) -> Any:
    """JSON in normal form (Any): 1.0 and 1 are one number, and `allowed` values are sorted."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, dict):
        return {
            name: sorted(item, key=repr) if name == "allowed" and item else _normal(item)
            for name, item in value.items()
        }
    return value


def _differ(mine: str | bytes, theirs: str | bytes) -> bool:
    return bool(mine) and bool(theirs) and mine != theirs


def _part(digest: str) -> bytes:
    try:
        return bytes.fromhex(digest)[:_PART_BYTES]
    except ValueError:  # in a hand-written manifest
        return b""
