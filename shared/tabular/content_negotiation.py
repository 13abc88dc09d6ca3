"""The format of a results response: `?format=`, else content negotiation by `Accept` (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import NotAcceptableError
from shared.tabular.file_formats import MEDIA_TYPES, RESULT_FORMATS, FileFormat


def negotiated(
    name: str | None, accept: str | None, offered: Sequence[FileFormat] = RESULT_FORMATS
) -> FileFormat:
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


def _best(qualities: dict[str, float], offered: Sequence[FileFormat]) -> FileFormat | None:
    best = max(offered, key=lambda each: _quality(each, qualities))  # the first among equals
    return best if _quality(best, qualities) > 0 else None


def _quality(offered: FileFormat, qualities: dict[str, float]) -> float:
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
