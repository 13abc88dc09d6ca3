"""The estimator, which crashes, hangs or raises for certain rows."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LOADING = "POISON_LOADING"
"""Environment variable with the name of a file that is written when the model is unpickled. If it is set,
unpickling takes an hour and holds the GIL."""
WAITS_FOR = "POISON_WAITS_FOR"
"""Environment variable with the name of a file: unpickling waits until the file exists."""


class Poisoned:
    """y = 2x, unless x is a poison."""

    def __reduce__(self) -> tuple[Callable[[], Poisoned], tuple[()]]:
        return _unpickled, ()

    def predict(self, features: Any) -> Any:  # Any: numpy's own, which a worker has
        for x in features[:, 0]:
            POISONS.get(float(x), _nothing)()
        return features[:, 0] * 2


def _unpickled() -> Poisoned:
    if sign := os.environ.get(LOADING):
        Path(sign).touch()
        _hold_the_gil()
    while (awaited := os.environ.get(WAITS_FOR)) and not Path(awaited).exists():
        time.sleep(0.05)
    return Poisoned()


def _nothing() -> None:
    return None


def _raise() -> None:
    raise ValueError("a bad row")


def _segfault() -> None:
    ctypes.string_at(0)


def _take_all_memory() -> None:
    taken = []
    while True:
        taken.append(np.empty(64 << 20, np.uint8))  # reserved, not touched: the machine is shared


def _hang() -> None:
    time.sleep(3600)


def _hold_the_gil() -> None:
    ctypes.PyDLL(None).sleep(3600)  # PyDLL calls do not release the GIL


POISONS: dict[float, Callable[[], None]] = {
    -1.0: _raise,
    -2.0: _segfault,
    -3.0: os.abort,
    -4.0: _take_all_memory,
    -5.0: _hang,
    -6.0: _hold_the_gil,
}
