"""Code that the gateway and the workers share.

settings  environment variables                    specs     declarations of models
keys      names of Redis keys                      messages  messages of the online lane
columns   rows as columns, in messages             tables    rows as Arrow tables, in jobs
ledger/   the only writer of a job's state         payloads  storage of a job's rows and results
errors    one tree, sent through the queue as is   tabular/  files to Arrow tables and back
"""

from __future__ import annotations

import os

VERSION = "0.1.0"


def use_system_allocator() -> None:
    """Make Arrow allocate with the system's allocator. Call this before Arrow is imported.

    Arrow's own pool keeps freed memory for each of its threads: while a large CSV is read, the gateway grows
    by two fifths more than with the system's allocator (`python -m bench.studies.upload_memory`). The
    environment variable is needed because `pyarrow.set_memory_pool` does not affect Arrow's readers.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
