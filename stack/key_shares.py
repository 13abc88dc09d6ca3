"""The share of an owner in `takt keys`: its weight among owners, and its limits.

An owner is a name. All keys with that name use the share together.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from shared.api_keys import Share
from stack.command_errors import CommandError


@dataclass(frozen=True)
class ShareChange:
    """A change of a share. None leaves a value unchanged; a limit of 0 removes the limit."""

    weight: float | None = None
    max_running_rows: int | None = None
    max_jobs: int | None = None


NO_CHANGE = ShareChange()


def changed(share: Share, change: ShareChange) -> Share:
    """Returns the changed share. Raises CommandError for an invalid weight."""
    if change.weight is not None and not 0 < change.weight < float("inf"):
        raise CommandError(
            f"{change.weight:g} is not a weight: use a number greater than 0, such as 2 or 0.5"
        )
    given = {
        "weight": change.weight,
        "max_running_rows": _limit(change.max_running_rows),
        "max_jobs": _limit(change.max_jobs),
    }
    named = {name: value for name, value in given.items() if getattr(change, name) is not None}
    return msgspec.structs.replace(share, **named)


def _limit(number: int | None) -> int | None:
    return number or None


def as_text(share: Share) -> str:
    """Returns the values that differ from the default, as text."""
    parts = (
        f"weight {share.weight:g}" if share.weight != 1 else "",
        f"{share.max_running_rows} running rows" if share.max_running_rows is not None else "",
        f"{share.max_jobs} jobs" if share.max_jobs is not None else "",
    )
    return ", ".join(filter(None, parts))


def document(share: Share) -> dict[str, object]:
    """Returns the fields of the JSON document."""
    return {
        "weight": share.weight,
        "max_running_rows": share.max_running_rows,
        "max_jobs": share.max_jobs,
    }
