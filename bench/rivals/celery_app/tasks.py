"""The task: a request, answered by the model in the task's process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from bench.served_model import Served, load

app = Celery("tasks", broker=os.environ["QUEUE_URL"], backend=os.environ["QUEUE_URL"])
app.conf.update(result_expires=600, broker_connection_retry_on_startup=True)
_held: list[Served] = []


@worker_process_init.connect  # type: ignore[untyped-decorator]  # Celery publishes no types
def load_model(**_: object) -> None:
    _held.append(load(Path("model.json")))


@app.task  # type: ignore[untyped-decorator]
def predict(request: dict[str, Any]) -> dict[str, Any]:
    return _held[0].answer([request])[0]
