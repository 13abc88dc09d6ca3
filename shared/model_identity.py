"""What a gateway and a worker must have in common of a model version: its spec and its artifact, by digest.

The digest of a spec is over what its rows and answers mean: a comment, a description, or the size of a batch
may differ between both sides. Fields that have their default are left out, so that a field that a newer Takt
adds does not change the digest of a spec that does not use it.
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
"""Of a digest, in an entry of the online lane: enough to tell two from each other, and half as long."""
SAME_ON_BOTH = (
    "Both sides need the same model.toml and the same build: deploy one models folder to gateways and "
    "workers, then restart whichever has the old one."
)
"""What an operator does about a difference."""
_MEANING: Any = {"name", "framework", "classes", "inputs", "outputs", "pytorch", "tolerance"}
_NOT_MEANT: Any = {
    "inputs": {"__all__": {"description", "example"}},
    "outputs": {"__all__": {"description"}},
}


@dataclass(frozen=True)
class ModelIdentity:
    """The digests of a model version in one process; empty if it does not know one."""

    spec_sha256: str
    artifact_sha256: str = ""

    @cached_property
    def wire(self) -> bytes:
        """As an entry has it: a part of the spec's digest, and of the artifact's if that is known."""
        return _part(self.spec_sha256) + _part(self.artifact_sha256)

    def differs(self, spec_sha256: str, artifact_sha256: str) -> bool:
        """Whether another process has another spec or artifact. What one does not know is no difference."""
        return _differ(self.spec_sha256, spec_sha256) or _differ(self.artifact_sha256, artifact_sha256)

    def in_words(self) -> str:
        return in_words(self.spec_sha256, self.artifact_sha256)


def in_words(spec_sha256: str, artifact_sha256: str) -> str:
    """`spec 1234…, artifact 5678…`"""
    return f"spec {short(spec_sha256)}, artifact {short(artifact_sha256)}"


def wire_in_words(wire: bytes) -> str:
    return in_words(wire[:_PART_BYTES].hex(), wire[_PART_BYTES:].hex())


def wires_differ(mine: bytes, theirs: bytes) -> bool:
    """`ModelIdentity.differs`, of two of their wire forms; an older Takt sends an empty one."""
    if mine == theirs or not mine or not theirs:
        return False
    spec, artifact = slice(0, _PART_BYTES), slice(_PART_BYTES, None)
    return mine[spec] != theirs[spec] or _differ(mine[artifact], theirs[artifact])


def spec_digest(spec: ModelSpec) -> str:
    """SHA-256 over the meaning of a spec, as compact JSON with sorted names."""
    meant = spec.model_dump(mode="json", include=_MEANING, exclude=_NOT_MEANT, exclude_defaults=True)
    return digest_of(msgspec.json.encode(_normal(meant), order="sorted"))


def _normal(value: Any) -> Any:
    """Any: JSON. 1.0 and 1 are one number; the order of `allowed` values means nothing."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_normal(one) for one in value]
    if isinstance(value, dict):
        return {
            name: sorted(one, key=repr) if name == "allowed" and one else _normal(one)
            for name, one in value.items()
        }
    return value


def _differ(mine: str | bytes, theirs: str | bytes) -> bool:
    return bool(mine) and bool(theirs) and mine != theirs


def _part(digest: str) -> bytes:
    try:
        return bytes.fromhex(digest)[:_PART_BYTES]
    except ValueError:  # a manifest that was written by hand
        return b""
