"""Ray on this machine, and Ray Serve with one application, until the program is told to end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import ray
from ray import serve

_CPUS = 4  # logical ones, which Ray counts its replicas by; the machine's cores are shared by all
_STORE_BYTES = 100_000_000


def serve_until_told(app: Callable[[], Any], port: int, path: str) -> None:
    """Any: a bound deployment, which is made once Ray runs. SIGTERM and SIGINT end it."""
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
