"""A model that fails in different ways for certain values, and its build."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from shared.settings import environment

MODEL = "poison"
RAISES, SEGFAULTS, ABORTS, TAKES_ALL_MEMORY, HANGS, HOLDS_THE_GIL = -1.0, -2.0, -3.0, -4.0, -5.0, -6.0
"""The values of `x` with their failures; for other values the model returns 2x."""

_HERE = Path(__file__).parent


def poison_repository(folder: Path) -> Path:
    """Create a model repository under `folder` with only the poison model, built, and return its root."""
    root = folder / "models"
    shutil.copytree(_HERE / MODEL, root / MODEL, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "worker", "build", MODEL]
    settings = environment({"models_dir": str(root)})
    subprocess.run(command, cwd=_HERE.parents[2], env=settings, check=True, capture_output=True, timeout=120)
    return root
