"""Which parts of a batch fail: a plan of calls, made of the outcomes of the calls before. Pure.

A model that raises does not say of which row. The plan is adaptive group testing (Hwang's generalized binary
splitting): a group of parts that fails is split until one part has failed alone, then the rest goes on in
groups of about the size at which half of them pass. Failing parts that lie close together are found by small
groups, and long stretches without any by large ones.

Calls for `n` parts of which `k` fail: near k·log2(n/k) + 1.5·k while few fail, and at most 1.25·n + 2·log2(n)
whatever fails (halving alone costs up to 2·n). Every part that fails has failed in a call of its own.
"""

from __future__ import annotations

from math import log, log2

_HALF_PASS = log(2)
"""A group of so many mean distances between failing parts passes every other time."""
_NEWEST = 0.5
"""The weight of the newest distance between failing parts in the mean."""


class Bisection:
    """Finds the failing ones of `parts` parts, from the first to the last.

    Run `group`, then say `passed` or `failed`, until `group` is empty. Parts are settled in their order.
    """

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self.settled = 0
        """So many of the first parts have passed or failed."""
        self.group = range(parts)
        """What is to be run next; empty: all is settled."""
        self._suspects: range | None = None  # they failed together; the first of them are to be run next
        self._distance = 0.0  # between failing parts, about; 0: none has failed yet
        self._since = 0  # parts that passed since one failed
        self._most = parts  # in a group: larger ones have failed though all of their parts passed

    def passed(self) -> None:
        """The group passed: its parts are settled."""
        group, suspects = self.group, self._suspects
        self.settled += len(group)
        self._since += len(group)
        if suspects is None:
            self._next_group()
        elif len(group) == len(suspects):  # the last suspect passes alone: they fail only together
            self._most = min(self._most, max(1, len(group), self._since // 2))
            self._next_group()
        else:
            self._split(range(group.stop, suspects.stop))

    def failed(self) -> bool:
        """The group failed. → whether it is a part that failed alone, which is thereby settled."""
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
