"""Parses the paths of predictions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

_LONGEST_KEPT = 256


@dataclass(frozen=True, slots=True)
class PredictPath:
    """The parts of a prediction's path; None: the default."""

    model: str | None
    version: str | None
    route: str  # the path with parameter names
    batch: bool


def predict_path_of(path: str) -> PredictPath | None:
    """Parse a prediction's path. None for other paths."""
    return _kept(path) if len(path) <= _LONGEST_KEPT else _named_by(path)


@lru_cache(maxsize=1024)
def _kept(path: str) -> PredictPath | None:
    """Cached: most requests repeat a recent path."""
    return _named_by(path)


def _named_by(path: str) -> PredictPath | None:
    match path.split("/"):
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
