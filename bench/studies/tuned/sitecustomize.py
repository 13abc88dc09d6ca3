"""Each Python of a stack whose PYTHONPATH names this folder runs it: in workers alone it sets the interpreter
as the environment says. See bench/studies/tuning.py.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time

_LOOK_S = 0.1


def _thaw() -> None:
    """Once a worker has loaded its models, which it freezes then."""
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
