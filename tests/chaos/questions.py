"""The requests of the online load: rows of the pool in one of several protocols, and the check of answers."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from tests.chaos.terrain import INPUTS, MODEL, Pool
from tests.support.callers import Answer

JSON_LENGTH = "inference-header-content-length"
SINGLE_SHARE, BINARY_SHARE = 0.5, 0.3
MOST_ROWS = 40


class Form(StrEnum):
    """How a request is sent."""

    SINGLE = "/predict"
    BATCH = "/predict/batch"
    BINARY = f"/v2/models/{MODEL}/infer"  # binary tensors
    GRPC = "ModelInfer"


@dataclass(frozen=True)
class Question:
    """Some rows of the pool in a request."""

    pool: Pool
    indexes: Sequence[int]
    form: Form

    @property
    def heights(self) -> list[float]:
        """The correct answer."""
        heights: list[float] = self.pool.heights[self.indexes].tolist()
        return heights

    @property
    def headers(self) -> Mapping[str, str]:
        if self.form is not Form.BINARY:
            return {}
        return {JSON_LENGTH: str(len(self._head)), "content-type": "application/octet-stream"}

    @property
    def body(self) -> bytes:
        """The body of a request over HTTP."""
        rows = self.pool.places[self.indexes]
        match self.form:
            case Form.SINGLE:
                return json.dumps(dict(zip(INPUTS, rows[0].tolist(), strict=True))).encode()
            case Form.BATCH:
                return json.dumps({"inputs": rows.tolist()}).encode()
            case _:
                return self._head + rows.astype("<f8").tobytes()

    @property
    def _head(self) -> bytes:
        """The JSON before the binary tensor, a single tensor of all inputs."""
        shape = [len(self.indexes), len(INPUTS)]
        about = {"binary_data_size": 8 * shape[0] * shape[1]}
        tensor = {"name": "all", "shape": shape, "datatype": "FP64", "parameters": about}
        return json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()

    def is_answered_by(self, answer: Answer) -> bool:
        """Whether every height is correct and in the order of the request."""
        match self.form:
            case Form.SINGLE:
                return [answer.json().get("height")] == self.heights
            case Form.BATCH:
                return [row.get("height") for row in answer.json()["results"]] == self.heights
            case _:
                return self.is_packed(answer.body[int(answer.headers[JSON_LENGTH]) :])

    def is_packed(self, data: bytes) -> bool:
        """Whether these are the heights as a binary tensor."""
        return bool(np.frombuffer(data, "<f8").tolist() == self.heights)

    def message(self, messages: Any) -> Any:
        """The request of a gRPC call. `messages`: the module of its messages"""
        rows = self.pool.places[self.indexes].astype("<f8")
        tensor = messages.ModelInferRequest.InferInputTensor(name="all", datatype="FP64", shape=rows.shape)
        return messages.ModelInferRequest(
            model_name=MODEL, inputs=[tensor], raw_input_contents=[rows.tobytes()]
        )


def question(pool: Pool, luck: random.Random) -> Question:
    """Half of the requests have one row, the others several."""
    if luck.random() < SINGLE_SHARE:
        return Question(pool, [luck.randrange(pool.rows)], Form.SINGLE)
    form = Form.BINARY if luck.random() < BINARY_SHARE / (1 - SINGLE_SHARE) else Form.BATCH
    return Question(pool, several(pool, luck), form)


def several(pool: Pool, luck: random.Random) -> list[int]:
    """Indexes of some rows."""
    return luck.choices(range(pool.rows), k=luck.randint(1, MOST_ROWS))
