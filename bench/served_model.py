"""The model inside the rivals' servers: loaded once, with a single call for a batch of requests.

The module runs in each rival's Python, so it imports only numpy and the model's framework, not Takt. Every
rival except the guide's app calls this code, so that differences come from the servers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

Request = Mapping[str, Any]
"""A row as an object of fields, or `{"inputs": [[…], …]}` for many rows. Any: JSON."""


class Served:
    """A model that answers requests."""

    def __init__(self, description: Mapping[str, Any]) -> None:
        self._fields = description["fields"]
        self._classes = description["classes"]
        self.is_network = bool(description["network"])
        self.probabilities = _network(description) if self.is_network else _estimator(description)

    def answer(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """Answer all requests with a single call of the model."""
        rows = [self._rows(request) for request in requests]
        found = self.probabilities(np.concatenate(rows))
        ends = np.cumsum([len(part) for part in rows])[:-1]
        parts = np.split(found, ends)
        return [self._shown(request, part) for request, part in zip(requests, parts, strict=True)]

    @property
    def kind(self) -> type[np.floating[Any]]:
        """The dtype of the model's input."""
        return np.float32 if self.is_network else np.float64

    def labels(self, found: np.ndarray) -> list[str]:
        """The most probable class of each row: its name, or its number if classes have no names."""
        most = found.argmax(axis=1).tolist()
        return [str(number) if self.is_network else self._classes[number] for number in most]

    def _rows(self, request: Request) -> np.ndarray:
        if "inputs" in request:
            return np.asarray(request["inputs"], dtype=self.kind)
        row = request["features"] if self.is_network else [request[field] for field in self._fields]
        return np.asarray([row], dtype=self.kind)

    def _shown(self, request: Request, found: np.ndarray) -> dict[str, Any]:
        results = [self._result(row) for row in found.tolist()]
        return {"results": results, "total_count": len(results)} if "inputs" in request else results[0]

    def _result(self, row: list[float]) -> dict[str, Any]:
        most = max(row)
        if self.is_network:
            return {"predicted_class": row.index(most), "probabilities": [round(value, 4) for value in row]}
        return {"prediction": self._classes[row.index(most)], "confidence": most, "model_version": "1.0.0"}


def load(description: Path) -> Served:
    return Served(json.loads(description.read_text()))


def _estimator(description: Mapping[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    import joblib

    found: Callable[[np.ndarray], np.ndarray] = joblib.load(description["artifact"]).predict_proba
    return found


def _network(description: Mapping[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    torch.set_num_threads(1)
    network = network_class(description)(**description["arguments"])
    network.load_state_dict(torch.load(description["artifact"], weights_only=True))
    network.eval()

    def probabilities(rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = torch.softmax(network(torch.from_numpy(rows)), dim=1).numpy()
        return found

    return probabilities


def network_class(
    description: Mapping[str, Any],
) -> Any:  # Any: a subclass of nn.Module, imported by its path
    """The class whose weights the artifact holds."""
    spec = spec_from_file_location("network", description["network"])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, description["network_class"])


if __name__ == "__main__":  # prints the correct answer to the row on standard input
    print(json.dumps(load(Path(sys.argv[1])).answer([json.load(sys.stdin)])[0]))
