"""The suite's model, and rows with known correct answers."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.repository import ModelVersion, open_repository

Floats: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[np.int64]

MODEL = "terrain"
INPUTS = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Pool:
    """Places, and their heights predicted by the model in this process."""

    places: Floats  # of shape (n, 4)
    heights: Floats

    @property
    def rows(self) -> int:
        return len(self.heights)

    def span(self, first: int, rows: int) -> Numbers:
        """Indexes of rows from `first` on, with wrap-around."""
        return np.arange(first, first + rows) % self.rows


def built(folder: Path) -> ModelVersion:
    """Build the model in a separate repository: `folder`, which must not exist."""
    from worker.models.build import build_model

    source = Path(__file__).parent / "models"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return build_model(open_repository(folder), MODEL)


def known_pool(version: ModelVersion, seed: int, rows: int = 200_000) -> Pool:
    """Random places with the model's predictions."""
    import joblib

    places = np.random.default_rng(seed).random((rows, len(INPUTS))).round(6)
    heights = joblib.load(version.verify()).predict(places)
    return Pool(places, np.asarray(heights, dtype=np.float64))
