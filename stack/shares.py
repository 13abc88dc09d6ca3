"""What `takt keys` does about an owner's share: its weight between owners, and its limits.

An owner is a name: all keys of the name have the share together.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from shared.access import Share
from stack.errors import CommandError


@dataclass(frozen=True)
class ShareChange:
    """What is to change of a share. None: stays as it is; a limit of 0 is taken away."""

    weight: float | None = None
    max_running_rows: int | None = None
    max_jobs: int | None = None


NO_CHANGE = ShareChange()


def changed(share: Share, change: ShareChange) -> Share:
    """The share after the change. Raises Refusal."""
    if change.weight is not None and not 0 < change.weight < float("inf"):
        raise CommandError(f"{change.weight:g} is no weight: a number greater than 0, such as 2 or 0.5")
    given = {
        "weight": change.weight,
        "max_running_rows": _limit(change.max_running_rows),
        "max_jobs": _limit(change.max_jobs),
    }
    named = {name: value for name, value in given.items() if getattr(change, name) is not None}
    return msgspec.structs.replace(share, **named)


def _limit(number: int | None) -> int | None:
    return number or None


def in_words(share: Share) -> str:
    """What differs from the default; empty: nothing."""
    parts = (
        f"weight {share.weight:g}" if share.weight != 1 else "",
        f"{share.max_running_rows} running rows" if share.max_running_rows is not None else "",
        f"{share.max_jobs} jobs" if share.max_jobs is not None else "",
    )
    return ", ".join(filter(None, parts))


def document(share: Share) -> dict[str, object]:
    """For scripts."""
    return {
        "weight": share.weight,
        "max_running_rows": share.max_running_rows,
        "max_jobs": share.max_jobs,
    }
