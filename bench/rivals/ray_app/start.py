"""Starts a Valkey and Ray Serve; ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import ray
from ray import serve

from stack.valkey import find_binary, free_port

_CPUS = 4  # logical ones, which Ray counts its replicas by; the machine's cores are shared by all
_STORE_BYTES = 100_000_000


def main(words: Sequence[str]) -> int:
    queue_port = free_port()
    os.environ["QUEUE_URL"] = f"redis://127.0.0.1:{queue_port}/0"
    command = [str(find_binary().path), "--port", str(queue_port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command) as queue:
        ray.init(
            num_cpus=_CPUS,
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            _node_ip_address="127.0.0.1",
        )
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            _serve(int(words[0]))
            signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            ray.shutdown()
            queue.terminate()
    return 0


def _serve(port: int) -> None:
    from bench.rivals.ray_app.service import app  # reads where the queue is

    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(app, route_prefix="/")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
