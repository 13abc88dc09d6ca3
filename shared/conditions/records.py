"""A condition, since when it lasts, and the status that the conditions of a moment result in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from shared.conditions.kinds import BY_CODE, ConditionKind, Severity

Parameter: TypeAlias = str | int | float
Status: TypeAlias = Literal["healthy", "warning", "trouble"]


@dataclass(frozen=True)
class Condition:
    """What is wrong with a subject, such as a model version, a worker or a gateway; empty: the service."""

    code: str
    subject: str = ""
    parameters: dict[str, Parameter] = field(default_factory=dict)

    @property
    def kind(self) -> ConditionKind:
        return BY_CODE[self.code]

    @property
    def id(self) -> str:
        """The same for as long as it lasts, whatever its parameters are."""
        return f"{self.code}|{self.subject}"

    @property
    def message(self) -> str:
        return self.kind.message.format(subject=self.subject, **self.parameters)

    @property
    def remedy(self) -> str:
        return self.kind.remedy.format(subject=self.subject, **self.parameters)


@dataclass(frozen=True)
class Standing:
    """A condition and its beginning, in ms since 1970."""

    condition: Condition
    since_ms: int


def status_of(conditions: Iterable[Condition]) -> Status:
    found = {condition.kind.severity for condition in conditions}
    if Severity.TROUBLE in found:
        return "trouble"
    return "warning" if found else "healthy"


def worst_first(conditions: Iterable[Condition]) -> Sequence[Condition]:
    """Trouble before warnings, each in the order of the list."""
    order = {code: place for place, code in enumerate(BY_CODE)}
    return sorted(
        conditions,
        key=lambda one: (one.kind.severity is not Severity.TROUBLE, order[one.code], one.subject),
    )


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
