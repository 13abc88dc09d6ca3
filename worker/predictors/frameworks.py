"""Library versions of an artifact: recorded in its manifest, and compared when it is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from worker.predictors.pickle_versions import PickledBy, pickled_by

_PACKAGES = {"scikit-learn": ("scikit-learn", "joblib"), "pytorch": ("torch",)}
_LIBRARIES = {
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
    "catboost": "catboost",
    "imblearn": "imbalanced-learn",
}
"""Module → package of estimators from other libraries than scikit-learn."""


def installed(framework: str) -> dict[str, str]:
    """The installed versions of the packages that a framework's artifacts depend on."""
    return {package: version(package) for package in _PACKAGES[framework]}


def made_by(framework: str, artifact: Path) -> dict[str, str]:
    """Package → version that made the artifact: as recorded in the artifact, else the installed version.

    An artifact records scikit-learn's version, so an artifact that was made elsewhere and copied here keeps
    it.
    """
    if framework != "scikit-learn":
        return installed(framework)
    pickled = pickled_by(artifact)
    return installed(framework) | dict(_libraries(pickled.modules)) | _stated(pickled)


def stated_by(framework: str, artifact: Path) -> dict[str, str]:
    """Package → version that made the artifact, as recorded in the artifact itself."""
    return _stated(pickled_by(artifact)) if framework == "scikit-learn" else {}


def _stated(pickled: PickledBy) -> dict[str, str]:
    return {"scikit-learn": ", ".join(sorted(pickled.sklearn))} if pickled.sklearn else {}


def _libraries(modules: set[str]) -> Iterator[tuple[str, str]]:
    for module in sorted(modules & _LIBRARIES.keys()):
        if found := _found(_LIBRARIES[module]):
            yield _LIBRARIES[module], found


def mismatch(built_with: Mapping[str, str], framework: str) -> str | None:
    """How the installed versions differ from those that made an artifact; None: no difference.

    A local label is ignored: torch 2.13.0+cpu can read files written by 2.13.0+cu130.
    """
    needed = dict.fromkeys([*_PACKAGES[framework], *(p for p in built_with if p in _LIBRARIES.values())])
    different = [
        f"{package} {built_with.get(package, 'of unknown version')} (here {_found(package) or 'none'})"
        for package in needed
        if _public(built_with.get(package, "")) != _public(_found(package))
    ]
    return f"built with {', '.join(different)}" if different else None


def _found(package: str) -> str:
    """The installed version; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _public(label: str) -> str:
    return label.partition("+")[0]
