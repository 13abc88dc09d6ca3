"""Ray on this machine, and Ray Serve with an application, until a signal ends the program."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import ray
from ray import serve

_CPUS = 4  # logical CPUs for Ray's placement of replicas; all replicas share the machine's cores
_STORE_BYTES = 100_000_000


def serve_until_told(app: Callable[[], Any], port: int, path: str) -> None:
    """Serve a deployment until SIGTERM or SIGINT. Any: a bound deployment, created after Ray has started."""
    ray.init(
        num_cpus=_CPUS,
        include_dashboard=False,
        object_store_memory=_STORE_BYTES,
        _node_ip_address="127.0.0.1",
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(app(), route_prefix=path)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        ray.shutdown()
