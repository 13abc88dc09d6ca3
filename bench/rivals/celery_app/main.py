"""The service: a plain `def` route, which FastAPI runs in a thread, waits for the task's result."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from bench.rivals.celery_app.tasks import predict as task

app = FastAPI()
_LIMIT_S = 30


@app.post("/predict")
def predict(request: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = task.delay(request).get(timeout=_LIMIT_S)
    return found
