"""The usual queue behind FastAPI: one Celery task a request, its result fetched from the result backend.

Broker and result backend are the Valkey that Takt embeds, with nothing written to disk; the pool is prefork
with two processes, each with a model of its own, and each takes the next task when it is done (prefetch 1).
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.rivals import Place, Rival


def _command(place: Place) -> Sequence[str]:
    return [str(place.python), "-m", "bench.rivals.celery_app.start", str(place.port)]


RIVAL = Rival(
    name="celery_tasks",
    about="FastAPI and one Celery task a request, prefork, 2 processes, results by the backend",
    command=_command,
    parts={"uvicorn": "gateway", "celery": "worker", "celeryd:": "worker", "valkey-server": "queue"},
)
