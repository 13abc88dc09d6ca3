"""In which format an answer is written: by `?format=`, or else by `Accept` (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from shared.errors import NotAcceptable


class ResultFormat(StrEnum):
    """The name in `?format=`, which ends a file's name, too. Earlier ones are preferred."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self][0]


MEDIA_TYPES = {
    ResultFormat.JSON: ("application/json",),
    ResultFormat.NDJSON: ("application/x-ndjson", "application/ndjson", "application/jsonl"),
    ResultFormat.CSV: ("text/csv", "application/csv"),
    ResultFormat.PARQUET: ("application/vnd.apache.parquet", "application/x-parquet"),
    ResultFormat.ARROW: ("application/vnd.apache.arrow.stream",),
}
"""What each is asked for by; it is sent as the first."""


def negotiated(
    name: str | None, accept: str | None, offered: Sequence[ResultFormat] = tuple(ResultFormat)
) -> ResultFormat:
    """Raises NotAcceptable, naming what there is."""
    if name is not None:
        found = next((one for one in offered if one == name), None)
    elif accept is None or not accept.strip():
        found = offered[0]
    else:
        found = _best(_qualities(accept), offered)
    if found is None:
        there_is = ", ".join(f"{one} ({one.media_type})" for one in offered)
        raise NotAcceptable(f"There is no such format; there are: {there_is}.")
    return found


def _best(qualities: dict[str, float], offered: Sequence[ResultFormat]) -> ResultFormat | None:
    best = max(offered, key=lambda one: _quality(one, qualities))  # the first of equals
    return best if _quality(best, qualities) > 0 else None


def _quality(one: ResultFormat, qualities: dict[str, float]) -> float:
    """By the most specific range that names it."""
    return max(_quality_of(media_type, qualities) for media_type in MEDIA_TYPES[one])


def _quality_of(media_type: str, qualities: dict[str, float]) -> float:
    family = media_type.partition("/")[0]
    ranges = (media_type, f"{family}/*", "*/*")
    return next((qualities[name] for name in ranges if name in qualities), 0.0)


def _qualities(accept: str) -> dict[str, float]:
    """Quality by media range; a quality that is none counts as 0."""
    found: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        said = [p.removeprefix("q=") for p in parameters if p.startswith("q=")]
        found[name] = _number(said[0]) if said else 1.0
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
