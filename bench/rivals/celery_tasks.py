"""The common queue behind FastAPI: a Celery task for each request, with its result in the result backend.

Broker and result backend are Takt's embedded Valkey without persistence. The pool is prefork with two
processes; each has its own model and takes a single task at a time (prefetch 1).
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.rivals import Place, Rival


def _command(place: Place) -> Sequence[str]:
    return [str(place.python), "-m", "bench.rivals.celery_app.start", str(place.port)]


RIVAL = Rival(
    name="celery_tasks",
    about="FastAPI and a Celery task for each request, prefork, 2 processes, results by the backend",
    command=_command,
    parts={"uvicorn": "gateway", "celery": "worker", "celeryd:": "worker", "valkey-server": "queue"},
)
