"""Ray Serve: `@serve.batch` in a single replica behind Ray's HAProxy, optimized for throughput.

A single replica, because the model fills a core, and HAProxy, Ray's daemons and the load share the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.rivals import Place, Rival
from stack.valkey import free_port

_APP = Path(__file__).with_name("ray_app")


def _command(place: Place) -> Sequence[str]:
    """Sets HAProxy's ports, which are otherwise the same for every Ray Serve on the machine."""
    ports = [f"RAY_SERVE_HAPROXY_{name}_PORT={free_port()}" for name in ("METRICS", "STATS")]
    return ["env", *ports, str(place.python), "-m", "bench.rivals.ray_app.start_online", str(place.port)]


RIVAL = Rival(
    name="ray_serve",
    about="Ray Serve, batches of 64 within 2 ms, one replica, throughput-optimized, HAProxy",
    command=_command,
    requirements=_APP / "requirements.txt",
    distribution="ray",
    parts={"haproxy": "gateway", "ray::ServeReplica:default:Model": "worker"},
    environment={
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    },
)
