"""Starts `takt up` with API keys enabled, stores the load's key in its queue, and ends with `takt up`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import redis

from shared.api_keys import KeyRecord, Role, digest_of, key_id_of
from stack.command_errors import CommandError
from stack.key_commands import StoredKeys
from stack.live_workers import connect
from stack.redis_url import queue_url

_LOOK_S = 0.1


def main(words: Sequence[str]) -> int:
    """`words`: the stack's data folder, then its command line."""
    data, *command = words
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with subprocess.Popen(command) as stack:
        try:
            while stack.poll() is None and not _given(Path(data), os.environ["BENCH_KEY"].encode()):
                time.sleep(_LOOK_S)
            return stack.wait()
        except KeyboardInterrupt:
            stack.terminate()
            return stack.wait()


def _given(data: Path, token: bytes) -> bool:
    """Store the key for the gateways. Returns False if the queue does not answer yet."""
    with contextlib.suppress(CommandError, redis.RedisError), connect(queue_url(data)) as client:
        store = StoredKeys(client)
        store.put(
            KeyRecord(
                id=key_id_of(token),
                name="bench",
                sha256=digest_of(token),
                roles=frozenset(Role) - {Role.ADMIN},
                created_at_ms=store.now_ms(),
            )
        )
        return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
