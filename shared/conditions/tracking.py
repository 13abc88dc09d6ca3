"""Since when each condition lasts, and whether it has lasted long enough to be reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shared.conditions.records import Condition, Standing


class ConditionTracker:
    """Remembers the first observation of each present condition. Times are passed in, in ms."""

    def __init__(self) -> None:
        self._since_ms: dict[str, int] = {}

    def see(
        self, found: Iterable[Condition], now_ms: int, reported: Mapping[str, int] | None = None
    ) -> Sequence[Standing]:
        """The conditions to report. `reported`: beginnings by id, as another gateway has stored them."""
        listed, known = list(found), reported or {}
        self._since_ms = {
            one.id: min(known.get(one.id, now_ms), self._since_ms.get(one.id, now_ms)) for one in listed
        }
        return [
            Standing(one, self._since_ms[one.id])
            for one in listed
            if one.id in known or now_ms - self._since_ms[one.id] >= one.kind.hold_s * 1000
        ]
