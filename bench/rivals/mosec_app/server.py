"""A mosec worker for the model. mosec reads its own options from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mosec import Server, Worker

from bench.served_model import Request, load


class Model(Worker):
    def __init__(self) -> None:
        super().__init__()
        self._served = load(Path("model.json"))

    def forward(self, data: list[Request]) -> list[dict[str, Any]]:
        return self._served.answer(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Model, num=1, max_batch_size=64, max_wait_time=1, route="/predict")
    server.run()
