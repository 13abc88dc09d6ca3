"""Starts Valkey and Ray Serve with the tasks' deployments; ends on a signal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from bench.rivals.ray_app.running import serve_until_told
from stack.valkey import find_binary, free_port


def main(words: Sequence[str]) -> int:
    queue_port = free_port()
    os.environ["QUEUE_URL"] = f"redis://127.0.0.1:{queue_port}/0"
    command = [str(find_binary().path), "--port", str(queue_port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command) as queue:
        try:
            serve_until_told(_app, int(words[0]), path="/")
        finally:
            queue.terminate()
    return 0


def _app() -> Any:  # a bound deployment
    from bench.rivals.ray_app.tasks import app  # reads the queue's address

    return app


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
