"""A deployment that forms batches of its requests.

Annotations are evaluated here, because Ray sends the class to another process.
"""

import os
from pathlib import Path
from typing import Any

from ray import serve
from starlette.requests import Request

from bench.served_model import load


@serve.deployment(
    ray_actor_options={"num_cpus": 1},
    max_ongoing_requests=512,
    logging_config={"enable_access_log": False},
)
class Model:
    def __init__(self) -> None:
        self._served = load(Path(os.environ["BENCH_FOLDER"]) / "model.json")

    async def __call__(self, request: Request) -> dict[str, Any]:
        return await self.answer(await request.json())

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.002)
    async def answer(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self._served.answer(requests)
