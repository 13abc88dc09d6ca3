"""The service: a plain `def` route, run by FastAPI in a thread, waits for the task's result.

A job is a task without a waiting request; clients poll for its result.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from bench.rivals.celery_app.tasks import predict as task

app = FastAPI()
_LIMIT_S = 30


@app.post("/predict")
def predict(request: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = task.delay(request).get(timeout=_LIMIT_S)
    return found


@app.post("/jobs", status_code=202)
def submit(job: dict[str, Any], response: Response) -> None:
    [row] = job["inputs"]
    response.headers["Location"] = f"/jobs/{task.delay(row).id}"


@app.get("/jobs/{job_id}/results")
def results(job_id: str) -> JSONResponse:
    result = task.AsyncResult(job_id)
    if not result.ready():
        return JSONResponse({"state": result.state}, 409, {"Retry-After": "1"})
    return JSONResponse({"results": [result.get()]})
