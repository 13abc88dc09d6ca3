"""What the path of a prediction names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

_LONGEST_KEPT = 256


@dataclass(frozen=True, slots=True)
class PredictPath:
    """What a path asks for; None: the default."""

    model: str | None
    version: str | None
    route: str  # its path, with names for what varies
    batch: bool


def target_of(path: str) -> PredictPath | None:
    """What a prediction's path names, or None where it is another path."""
    return _kept(path) if len(path) <= _LONGEST_KEPT else _named_by(path)


@lru_cache(maxsize=1024)
def _kept(path: str) -> PredictPath | None:
    """Most requests name what others named just before."""
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
