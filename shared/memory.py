"""How the programs keep and give back memory."""

from __future__ import annotations

import os


def give_memory_back() -> None:
    """Let Arrow allocate as the rest of the process does. Must be called before Arrow is imported.

    Arrow's own pool keeps what it frees, for each of its threads: while a large CSV is read, the gateway
    grows by two fifths more with it than with the system's (`python -m bench.studies.upload_memory`). Only
    the
    environment reaches the allocations of Arrow's readers: `pyarrow.set_memory_pool` does not.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
