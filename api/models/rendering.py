"""Rendering of a worker's output columns as a JSON response: a row, or a batch of rows."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.json import encode

from shared.messages import OutputColumn
from shared.specs import ModelSpec, Row


class AnswerRenderer:
    """Renders the answers of a model version."""

    def __init__(self, spec: ModelSpec, version: str) -> None:
        self._names = [output.name for output in spec.outputs]
        self._more = {"model_version": version} if spec.response_model_version else {}

    def one(self, columns: Sequence[OutputColumn]) -> bytes:
        """The response of `/predict`: the outputs of the only row."""
        row = {name: column[0] for name, column in zip(self._names, columns, strict=True)}
        return encode(row | self._more)

    def batch(self, columns: Sequence[OutputColumn]) -> bytes:
        """The response of `/predict/batch`: `results` in the order of the inputs."""
        results = self.rows(columns)
        return encode({"results": results, "total_count": len(results)})

    def rows(self, columns: Sequence[OutputColumn]) -> list[Row]:
        return [dict(zip(self._names, values, strict=True)) for values in zip(*columns, strict=True)]
