"""Frameworks: what opens the files of a model version. This package declares them; only workers open files.

    declaration   the form of a declaration, `Framework`
    builtin       the frameworks of this repository
    registry      all frameworks by name: these, and those of installed packages

The gateway reads declarations to check a model.toml, so a declaration imports no machine-learning library.
"""

from shared.frameworks.declaration import Framework, Library, NetworkActivation, Options, Precision
from shared.frameworks.registry import ENTRY_POINTS, declared, known_frameworks, made_for

__all__ = [
    "ENTRY_POINTS",
    "Framework",
    "Library",
    "NetworkActivation",
    "Options",
    "Precision",
    "declared",
    "known_frameworks",
    "made_for",
]
