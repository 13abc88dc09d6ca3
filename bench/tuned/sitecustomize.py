"""Each Python of a stack whose PYTHONPATH names this folder runs it: in workers alone it sets the interpreter
as the environment says. See bench/tuning.py.
"""

from __future__ import annotations

import gc
import os
import sys
import threading

_LOADED_S = 8.0
"""After so long a worker has loaded its model."""


def _freeze() -> None:
    gc.collect()
    gc.freeze()


def _tune() -> None:
    if interval_s := os.environ.get("BENCH_SWITCH_INTERVAL_S"):
        sys.setswitchinterval(float(interval_s))
    if thresholds := os.environ.get("BENCH_GC_THRESHOLDS"):
        gc.set_threshold(*map(int, thresholds.split(",")))
    if os.environ.get("BENCH_GC_FREEZE"):
        timer = threading.Timer(_LOADED_S, _freeze)
        timer.daemon = True
        timer.start()


if sys.orig_argv[-2:] == ["worker", "run"]:
    _tune()
