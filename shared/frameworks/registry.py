"""All frameworks by name: those of Takt, and those that installed packages add by an entry point."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from shared.errors import SpecError
from shared.frameworks.builtin import BUILTIN
from shared.frameworks.declaration import ANY_FILE, Framework
from shared.safe_texts import did_you_mean, listed, named

ENTRY_POINTS = "takt.frameworks"
"""The entry point group of packages that add a framework."""


def declared(name: str) -> Framework:
    """The framework of this name.

    Raises SpecError if it is unknown, if two packages declare it, or if its declaration cannot be imported.
    """
    own = BUILTIN.get(name)
    added = _added().get(name, ())
    if own is not None and not added:
        return own
    if not added:
        known = known_frameworks()
        raise SpecError(
            f"framework {named(name)} is unknown; known: {listed(known)}.{did_you_mean(name, known)} "
            f"A package adds a framework with an entry point of the group {ENTRY_POINTS!r}: install it in "
            "the environments of gateway and workers"
        )
    if own is not None or len(added) > 1:
        owners = [*(["takt-server"] if own else []), *map(_owner, added)]
        raise SpecError(f"framework {named(name)} is declared by {' and '.join(owners)}: uninstall one")
    return _imported(added[0])


def known_frameworks() -> list[str]:
    """The names of all frameworks, sorted. Imports no declaration of another package."""
    return sorted(BUILTIN.keys() | _added().keys())


def made_for(artifact: str, framework: Framework, *, is_folder: bool = False) -> str:
    """The other framework of Takt that artifacts of this name belong to. Empty: it may be of `framework`,
    since a file may have any name."""
    if framework.accepts(artifact, is_folder=is_folder):
        return ""
    particular = [one for one in BUILTIN.values() if ANY_FILE not in one.artifacts]
    owners = [one.name for one in particular if one.accepts(artifact, is_folder=is_folder)]
    return owners[0] if owners else ""


@cache
def _added() -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points of other packages by name. Cached: reading every package's metadata takes long."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def _imported(point: EntryPoint) -> Framework:
    try:
        framework = point.load()
    except Exception as error:  # code of another package may raise anything
        raise SpecError(
            f"framework {named(point.name)} of {_owner(point)} cannot be imported from {point.value}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(framework, Framework) or framework.name != point.name:
        raise SpecError(
            f"framework {named(point.name)} of {_owner(point)}: {point.value} must be a "
            f"shared.frameworks.Framework with this name, and is {named(framework)}"
        )
    return framework


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
