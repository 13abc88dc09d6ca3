"""A consumer with the model, and the HTTP deployment that submits tasks to it and reads their results.

Annotations are evaluated here, because FastAPI reads them in the process to which Ray sends the class.
"""

import os
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from ray import serve
from ray.serve.schema import CeleryAdapterConfig, TaskProcessorConfig
from ray.serve.task_consumer import instantiate_adapter_from_config, task_consumer, task_handler

from bench.served_model import load

web = FastAPI()
_QUEUE = os.environ["QUEUE_URL"]
_TASKS = TaskProcessorConfig(
    queue_name="jobs", adapter_config=CeleryAdapterConfig(broker_url=_QUEUE, backend_url=_QUEUE)
)
_LOOK_S = 0.02


@serve.deployment(ray_actor_options={"num_cpus": 1})
@task_consumer(task_processor_config=_TASKS)
class Consumer:
    def __init__(self) -> None:
        self._served = load(Path(os.environ["BENCH_FOLDER"]) / "model.json")

    @task_handler(name="predict")
    def predict(self, row: dict[str, Any]) -> dict[str, Any]:
        return self._served.answer([row])[0]


@serve.deployment(ray_actor_options={"num_cpus": 1}, max_ongoing_requests=256)
@serve.ingress(web)
class Web:
    def __init__(self, consumer: Any) -> None:  # Any: a handle; the binding also deploys the consumer
        self._consumer = consumer
        self._tasks = instantiate_adapter_from_config(_TASKS)

    @web.post("/predict")
    def predict(self, row: dict[str, Any]) -> dict[str, Any]:
        task = self._tasks.enqueue_task_sync(task_name="predict", args=[row])
        while (answer := self._answer(task.id)) is None:
            time.sleep(_LOOK_S)
        return answer

    @web.post("/jobs", status_code=202)
    def submit(self, job: dict[str, Any], response: Response) -> None:
        [row] = job["inputs"]
        task = self._tasks.enqueue_task_sync(task_name="predict", args=[row])
        response.headers["Location"] = f"/jobs/{task.id}"

    @web.get("/jobs/{task_id}/results")
    def results(self, task_id: str) -> JSONResponse:
        answer = self._answer(task_id)
        if answer is None:
            return JSONResponse({"state": "PENDING"}, 409, {"Retry-After": "1"})
        return JSONResponse({"results": [answer]})

    def _answer(self, task_id: str) -> dict[str, Any] | None:
        """The result, or None: a task is reported as succeeded shortly before its result is readable."""
        found = self._tasks.get_task_status_sync(task_id)
        return found.result if found.status == "SUCCESS" else None


app = Web.bind(Consumer.bind())
