"""Parses the paths of predictions, of all protocols.

/predict[/batch]                                   Takt's own, also below /models/{name}[/versions/{version}]
/v2/models/{model}[/versions/{version}]/infer      the Open Inference Protocol
/invocations                                       MLflow's scoring protocol, also below /models/{name}
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

_LONGEST_KEPT = 256


class Protocol(Enum):
    TAKT = "takt"
    INFERENCE = "inference"
    MLFLOW = "mlflow"


@dataclass(frozen=True, slots=True)
class PredictPath:
    """The parts of a prediction's path; None: the default."""

    model: str | None
    version: str | None
    route: str  # the path with parameter names
    batch: bool
    """Whether a request may have several rows; always, except for Takt's own single predictions."""
    protocol: Protocol = Protocol.TAKT


def predict_path_of(path: str) -> PredictPath | None:
    """Parse a prediction's path. None for other paths."""
    return _kept(path) if len(path) <= _LONGEST_KEPT else _named_by(path)


@lru_cache(maxsize=1024)
def _kept(path: str) -> PredictPath | None:
    """Cached: most requests repeat a recent path."""
    return _named_by(path)


def _named_by(path: str) -> PredictPath | None:
    parts = path.split("/")
    return _of_takt(parts) or _of_inference(parts) or _of_mlflow(parts)


def _of_takt(parts: list[str]) -> PredictPath | None:
    match parts:
        case ["", "predict", *rest]:
            model, version, route = None, None, "/predict"
        case ["", "models", model, "predict", *rest]:
            version, route = None, "/models/{name}/predict"
        case ["", "models", model, "versions", version, "predict", *rest]:
            route = "/models/{name}/versions/{version}/predict"
        case _:
            return None
    if rest not in ([], ["batch"]):
        return None
    return PredictPath(model, version, f"{route}/batch" if rest else route, batch=bool(rest))


def _of_inference(parts: list[str]) -> PredictPath | None:
    match parts:
        case ["", "v2", "models", model, "infer"]:
            version, route = None, "/v2/models/{model}/infer"
        case ["", "v2", "models", model, "versions", version, "infer"]:
            route = "/v2/models/{model}/versions/{version}/infer"
        case _:
            return None
    return PredictPath(model, version, route, batch=True, protocol=Protocol.INFERENCE)


def _of_mlflow(parts: list[str]) -> PredictPath | None:
    match parts:
        case ["", "invocations"]:
            model, route = None, "/invocations"
        case ["", "models", model, "invocations"]:
            route = "/models/{name}/invocations"
        case _:
            return None
    return PredictPath(model, None, route, batch=True, protocol=Protocol.MLFLOW)
