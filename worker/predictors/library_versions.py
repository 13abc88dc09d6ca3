"""Library versions of an artifact: recorded in its manifest, and compared when it is loaded."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from shared import VERSION
from shared.frameworks import declared
from shared.frameworks.builtin import BUILTIN
from worker.predictors.implementation import MadeBy, implementation_of

PYTHON = "python"
_STABLE = {"numpy", "scipy", "pandas"}
"""Modules whose pickled objects every supported version reads."""


def installed(framework: str) -> dict[str, str]:
    """The installed versions of the libraries of a framework."""
    return {
        library.distribution: found
        for library in declared(framework).libraries
        if (found := _first_of(library.distribution, *library.others))
    }


@cache
def own_versions() -> dict[str, str]:
    """The versions of Takt, of Python, and of the installed libraries of all frameworks."""
    found = {"takt": VERSION, PYTHON: _here()}
    for framework in BUILTIN:
        found |= installed(framework)
    return found


def made_by(framework: str, artifact: Path, trained_with: Iterable[str] = ()) -> MadeBy:
    """The origin of an artifact: as the artifact records it, else the installed versions of the libraries
    that its build imported.

    `trained_with`: modules that the build imports. An artifact that a build only copies keeps its own
    versions; a version that neither records is unknown and left out.
    """
    stated = stated_by(framework, artifact)
    used = set(trained_with)
    own = [one.distribution for one in declared(framework).libraries if one.module in used]
    versions = {name: found for name in [*own, *_distributions(stated.modules)] if (found := _found(name))}
    if own:
        versions[PYTHON] = _here()
    return MadeBy(versions | dict(stated.versions), stated.formats, stated.modules)


def stated_by(framework: str, artifact: Path) -> MadeBy:
    """The origin of an artifact as recorded in the artifact itself."""
    return implementation_of(declared(framework)).made_by(artifact)


def mismatch(built_with: Mapping[str, str], framework: str, artifact: str) -> str | None:
    """How the installed versions differ from those that made an artifact; None: no difference is known.

    A local label is ignored: torch 2.13.0+cpu can read files written by 2.13.0+cu130. Of Python only the
    minor version counts, and only for pickles.
    """
    different = [
        f"{name} {made_with} (here {_found(name) or 'none'})"
        for name, made_with in built_with.items()
        if name != PYTHON and _public(made_with) != _public(_found(name))
    ]
    python = built_with.get(PYTHON, _here())
    if declared(framework).is_pickled(artifact) and _minor(python) != _minor(_here()):
        different.append(f"{PYTHON} {python} (here {_here()})")
    return f"built with {', '.join(different)}" if different else None


def _distributions(modules: Iterable[str]) -> list[str]:
    """The distributions of installed modules, without Python's own and those that are always compatible."""
    needed = sorted(set(modules) - sys.stdlib_module_names - _STABLE)
    if not needed:
        return []
    known = packages_distributions()
    return [_recorded_name(known[module][0]) for module in needed if module in known]


def _recorded_name(distribution: str) -> str:
    """`xgboost` for `xgboost-cpu`: a manifest names a library once."""
    return next((name for name, others in _builds().items() if distribution in others), distribution)


def _found(name: str) -> str:
    """The installed version of a library by its name in a manifest; empty if it is not installed."""
    return _first_of(name, *_builds().get(name, ()))


def _builds() -> dict[str, tuple[str, ...]]:
    """Library → other distributions of it."""
    return {one.distribution: one.others for framework in BUILTIN.values() for one in framework.libraries}


def _first_of(*distributions: str) -> str:
    for distribution in distributions:
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return ""


def _public(label: str) -> str:
    return label.partition("+")[0]


def _here() -> str:
    return platform.python_version()


def _minor(label: str) -> list[str]:
    return label.split(".")[:2]
