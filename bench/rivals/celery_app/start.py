"""Starts Valkey, a Celery worker and uvicorn; ends when any of them ends, or on a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from stack.valkey import find_binary, free_port

_LOOK_S = 0.2


def main(words: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    queue_port = free_port()
    environment = os.environ | {"QUEUE_URL": f"redis://127.0.0.1:{queue_port}/0"}
    children = [subprocess.Popen(command, env=environment) for command in _commands(queue_port, words[0])]
    try:
        while all(child.poll() is None for child in children):
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        pass
    for child in reversed(children):
        child.terminate()
    for child in reversed(children):
        child.wait()
    return 0


def _commands(queue_port: int, port: str) -> Sequence[Sequence[str]]:
    here = "bench.rivals.celery_app"
    queue = [str(find_binary().path), "--port", str(queue_port), "--bind", "127.0.0.1", "--save", ""]
    worker = ["-A", f"{here}.tasks", "worker", "-P", "prefork", "-c", "2", "-l", "WARNING"]
    lean = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--prefetch-multiplier", "1"]
    return (
        queue,
        [sys.executable, "-m", "celery", *worker, *lean],
        [sys.executable, "-m", "uvicorn", f"{here}.main:app", "--port", port, "--loop", "uvloop"],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
