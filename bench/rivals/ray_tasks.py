"""Ray Serve's asynchronous inference: a `task_consumer` deployment with its own Valkey, configured as Takt's.

A single consumer, as Takt has a single worker. The HTTP deployment submits jobs and reads their results for
`bench.jobs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.rivals import Place, Rival

_APP = Path(__file__).with_name("ray_app")


def _command(place: Place) -> Sequence[str]:
    return [str(place.python), "-m", "bench.rivals.ray_app.start_tasks", str(place.port)]


RIVAL = Rival(
    name="ray_tasks",
    about="Ray Serve's task_consumer, one replica, Celery on Valkey",
    command=_command,
    requirements=_APP / "requirements.txt",
    distribution="ray",
    many_path=None,
    parts={
        "valkey-server": "queue",
        "ray::ServeReplica:default:Web": "gateway",
        "ray::ServeReplica:default:Consumer": "worker",
    },
    environment={"RAY_USAGE_STATS_ENABLED": "0"},
)
