"""Which packages' versions an artifact depends on: written into its manifest, compared when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

_PACKAGES = {"scikit-learn": ("scikit-learn", "joblib"), "pytorch": ("torch",)}


def installed(framework: str) -> dict[str, str]:
    """The installed versions of what a framework's artifacts depend on."""
    return {package: version(package) for package in _PACKAGES[framework]}


def mismatch(built_with: Mapping[str, str], framework: str) -> str | None:
    """How the installed versions differ from those that built an artifact; None: they do not.

    A local label is ignored: torch 2.13.0+cpu reads what 2.13.0+cu130 wrote.
    """
    here = installed(framework)
    different = [
        f"{package} {built_with.get(package, 'of unknown version')} (here {found})"
        for package, found in here.items()
        if _public(built_with.get(package, "")) != _public(found)
    ]
    return f"built with {', '.join(different)}" if different else None


def _public(label: str) -> str:
    return label.partition("+")[0]
