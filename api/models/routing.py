"""Routing of requests that name no version: the default version, or a split between versions. No I/O.

A version gets requests only while a live worker holds it. With a routing key the choice is sticky: a key's
place between 0 and 100 never changes, and a version's part of that range only grows while its share grows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, TypeVar

from blake3 import blake3

from shared.deployments import WHOLE, Target

T = TypeVar("T")
_PLACES = 2**64


@dataclass(frozen=True)
class Route(Generic[T]):
    """Where the requests of a model go. `T`: what serves a version."""

    default: T
    aliases: Mapping[str, T] = field(default_factory=lambda: MappingProxyType({}))
    split: Sequence[tuple[float, T]] = ()
    """Upper end of each version's part of 0 to 100, ascending; what remains is the default's."""

    def choose(self, place: float) -> T:
        """What serves a request at this place, from 0 to 100."""
        return next((served for end, served in self.split if place < end), self.default)


def route_of(
    target: Target, versions: Mapping[str, T], held: Callable[[str], bool], current: T, current_held: bool
) -> Route[T]:
    """The route of a deployment. `versions`: those known here; `held`: whether a live worker holds a version.

    The default changes only to a version that is held, unless the current one is not held either.
    """
    default = versions.get(target.default, current)
    if not held(target.default) and current_held:
        default = current
    ends, end = [], 0.0
    for version in sorted(target.split):  # the same order on all gateways
        if version != target.default and version in versions and held(version) and target.split[version]:
            end += target.split[version]
            ends.append((end, versions[version]))
    aliases = {name: versions[version] for name, version in target.aliases.items() if version in versions}
    return Route(default, aliases, ends)


def place_of(key: bytes | None) -> float:
    """The place of a request between 0 and 100: of its routing key, else at random."""
    if key is None:
        return random.random() * WHOLE  # noqa: S311 - no secret
    return int.from_bytes(blake3(key).digest(8), "big") / _PLACES * WHOLE
