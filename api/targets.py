"""What the path of a prediction names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What a path asks for; None: the default."""

    model: str | None
    version: str | None
    batch: bool


def target_of(path: str) -> Target | None:
    """What a prediction's path names, or None where it is another path."""
    match path.split("/"):
        case ["", "predict", *rest]:
            model, version = None, None
        case ["", "models", model, "predict", *rest]:
            version = None
        case ["", "models", model, "versions", version, "predict", *rest]:
            pass
        case _:
            return None
    if rest not in ([], ["batch"]):
        return None
    return Target(model, version, batch=bool(rest))
