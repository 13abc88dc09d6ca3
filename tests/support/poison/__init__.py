"""A model that reacts to some values as the worst rows do, and where it is built."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from shared.settings import environment

MODEL = "poison"
RAISES, SEGFAULTS, ABORTS, TAKES_ALL_MEMORY, HANGS, HOLDS_THE_GIL = -1.0, -2.0, -3.0, -4.0, -5.0, -6.0
"""The values of `x`, and what the model does of them; of any other it makes 2x."""

_HERE = Path(__file__).parent


def poison_repository(folder: Path) -> Path:
    """A model repository under `folder` with the poison model alone, built. → its root."""
    root = folder / "models"
    shutil.copytree(_HERE / MODEL, root / MODEL, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "worker", "build", MODEL]
    settings = environment({"models_dir": str(root)})
    subprocess.run(command, cwd=_HERE.parents[2], env=settings, check=True, capture_output=True, timeout=120)
    return root
