"""The format of a results response: `?format=`, else content negotiation by `Accept` (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from shared.errors import NotAcceptableError


class ResultFormat(StrEnum):
    """The names for `?format=`, also used as file extensions, in the order of preference."""

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
"""The media types that select a format; responses use the first."""


def negotiated(
    name: str | None, accept: str | None, offered: Sequence[ResultFormat] = tuple(ResultFormat)
) -> ResultFormat:
    """Raises NotAcceptableError, which lists the offered formats."""
    if name is not None:
        found = next((each for each in offered if each == name), None)
    elif accept is None or not accept.strip():
        found = offered[0]
    else:
        found = _best(_qualities(accept), offered)
    if found is None:
        listed = ", ".join(f"{each} ({each.media_type})" for each in offered)
        raise NotAcceptableError(f"Unsupported result format; supported: {listed}.")
    return found


def _best(qualities: dict[str, float], offered: Sequence[ResultFormat]) -> ResultFormat | None:
    best = max(offered, key=lambda each: _quality(each, qualities))  # the first among equals
    return best if _quality(best, qualities) > 0 else None


def _quality(offered: ResultFormat, qualities: dict[str, float]) -> float:
    """Returns the quality of the most specific matching range."""
    return max(_quality_of(media_type, qualities) for media_type in MEDIA_TYPES[offered])


def _quality_of(media_type: str, qualities: dict[str, float]) -> float:
    family = media_type.partition("/")[0]
    ranges = (media_type, f"{family}/*", "*/*")
    return next((qualities[name] for name in ranges if name in qualities), 0.0)


def _qualities(accept: str) -> dict[str, float]:
    """Returns media range → quality; an invalid quality counts as 0."""
    found: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        given = [p.removeprefix("q=") for p in parameters if p.startswith("q=")]
        found[name] = _number(given[0]) if given else 1.0
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
