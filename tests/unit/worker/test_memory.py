"""The objects that a worker's garbage collector examines."""

from __future__ import annotations

import gc

from worker.memory import leave_to_stay


def test_what_was_loaded_is_not_gone_through_again() -> None:
    try:
        leave_to_stay()
        assert gc.get_freeze_count() > 1000
        fresh = gc.get_objects()
        assert len(fresh) < gc.get_freeze_count()
    finally:
        gc.unfreeze()
