"""Interpreter settings for workers.

Each Python of a stack with this folder in PYTHONPATH runs the module, which applies the settings from the
environment in workers only. See bench/studies/tuning.py.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time

_LOOK_S = 0.1


def _thaw() -> None:
    """Apply after a worker has loaded and frozen its models."""
    while not gc.get_freeze_count():
        time.sleep(_LOOK_S)
    gc.unfreeze()


def _tune() -> None:
    if interval_s := os.environ.get("BENCH_SWITCH_INTERVAL_S"):
        sys.setswitchinterval(float(interval_s))
    if thresholds := os.environ.get("BENCH_GC_THRESHOLDS"):
        gc.set_threshold(*map(int, thresholds.split(",")))
    if os.environ.get("BENCH_GC_THAW"):
        threading.Thread(target=_thaw, daemon=True).start()


if sys.orig_argv[-2:] == ["worker", "run"]:
    _tune()
