"""A pool of rows for tests of the chaos suite's own parts."""

from __future__ import annotations

import numpy as np

from tests.chaos.terrain import Pool


def pool(rows: int) -> Pool:
    places = np.random.default_rng(seed=1).random((rows, 4)).round(6)
    return Pool(places, places.sum(axis=1))
