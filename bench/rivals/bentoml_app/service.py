"""A BentoML service over the model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml

from bench.served_model import load


@bentoml.service(
    workers=2,
    traffic={"timeout": 60, "max_concurrency": 1024},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Model:
    def __init__(self) -> None:
        self._served = load(Path(os.environ["BENCH_FOLDER"]) / "model.json")

    @bentoml.api(route="/predict", batchable=True, max_batch_size=64, max_latency_ms=10_000)
    def predict(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self._served.answer(requests)
