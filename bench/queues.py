"""An empty queue server for a bench command; it stops when its block ends."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from bench.servers import DidNotStart
from shared.connections import connect
from stack.process_group import ProcessGroup
from stack.valkey import answers, configuration, find_binary, new_address

_START_LIMIT_S = 30.0


@contextmanager
def bare_queue() -> Iterator[redis.Redis]:
    """Start an empty server as embedded by `takt up`; yields a client. Raises DidNotStart, CommandError."""
    address = new_address()
    with TemporaryDirectory(prefix="takt-bench-") as folder, closing(ProcessGroup()) as leash:
        process = subprocess.Popen(
            [str(find_binary().path), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            process_group=leash.group,
        )
        try:
            assert process.stdin is not None
            process.stdin.write(configuration(address, Path(folder)))
            process.stdin.close()
            _wait(process, address.url)
            with connect(address.url) as client:
                yield client
        finally:
            process.terminate()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    limit_s = time.monotonic() + _START_LIMIT_S
    while not answers(url):
        if process.poll() is not None or time.monotonic() > limit_s:
            raise DidNotStart("the queue's server does not answer")
        time.sleep(0.05)
