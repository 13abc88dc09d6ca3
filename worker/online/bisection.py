"""Finds the failing parts of a batch: plans each call from the outcomes of earlier calls. Pure.

A model that raises does not name the row. The plan is adaptive group testing (Hwang's generalized binary
splitting): a failing group is split until a part has failed alone; the rest then runs in groups sized so
that about half of them pass. Clustered failures are found with small groups, and long stretches without
failures pass in large groups.

Calls for `n` parts of which `k` fail: near k·log2(n/k) + 1.5·k if few fail, and never more than 1.25·n +
2·log2(n) (halving alone costs up to 2·n). Every failing part has failed in a call of its own.
"""

from __future__ import annotations

from math import log, log2

_HALF_PASS = log(2)
"""A group of this many mean distances between failing parts passes half of the time."""
_NEWEST = 0.5
"""Weight of the newest distance between failing parts in the mean."""


class Bisection:
    """Finds the failing parts among `parts` parts, from the first to the last.

    Run `group`, then call `passed` or `failed`, until `group` is empty. Parts are settled in order.
    """

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self.settled = 0
        """Number of leading parts that have passed or failed."""
        self.group = range(parts)
        """The parts to run next; empty: all parts are settled."""
        self._suspects: range | None = None  # parts that failed together; the first of them run next
        self._distance = 0.0  # mean distance between failing parts; 0: none has failed yet
        self._since = 0  # parts passed since the last failure
        self._most = parts  # most parts of a group: larger groups failed although each of their parts passed

    def passed(self) -> None:
        """The group passed: its parts are settled."""
        group, suspects = self.group, self._suspects
        self.settled += len(group)
        self._since += len(group)
        if suspects is None:
            self._next_group()
        elif len(group) == len(suspects):  # the last suspects pass alone: they fail only together
            self._most = min(self._most, max(1, len(group), self._since // 2))
            self._next_group()
        else:
            self._split(range(group.stop, suspects.stop))

    def failed(self) -> bool:
        """The group failed. → whether it was a single part, which is then settled."""
        if len(self.group) > 1:
            self._split(self.group)
            return False
        self.settled += 1
        distance = self._since + 1
        weight = _NEWEST if self._distance else 1.0
        self._distance += (distance - self._distance) * weight
        self._since = 0
        self._next_group()
        return True

    def skip(self) -> None:
        """Settle the first part of the group without a call."""
        self.settled += 1
        self._next_group()

    def _split(self, suspects: range) -> None:
        self._suspects = suspects
        self.group = suspects[: max(1, len(suspects) // 2)]

    def _next_group(self) -> None:
        self._suspects = None
        wanted = max(1.0, _HALF_PASS * max(self._distance, self._since))
        size = min(self._most, 1 << max(0, round(log2(wanted))))
        self.group = range(self.settled, min(self._parts, self.settled + size))
