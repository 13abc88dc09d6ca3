"""The arguments of a gateway process among several on a port: its slot and its inherited sockets."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared.settings import Settings

READY = b"ready"
"""The process serves. Sent to the parent once."""
LEAVE = b"leave"
"""A successor serves: accept no more connections, finish the accepted requests, exit. Sent by the parent."""
LISTEN = b"listen"
"""Followed by slots: accept from the sockets of these slots, and of no others. Sent by the parent."""


class ProcessArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The only argument of `python -m api` that the parent passes, as JSON."""

    slot: int  # from 0; a process and its successors have the same slot
    control: int  # a socket to the parent, which carries lines
    listeners: tuple[tuple[int, ...], ...]  # listening sockets by slot
    folder: str  # of the Unix sockets on which the processes answer each other

    def as_argument(self) -> str:
        return msgspec.json.encode(self).decode()

    def settings_of(self, common: Settings) -> Settings:
        """The settings of this process: its name in logs and reply streams ends with its slot."""
        return common.model_copy(update={"gateway_name": f"{common.gateway_name}/{self.slot}"})


def read_arguments(argument: str) -> ProcessArguments:
    return msgspec.json.decode(argument, type=ProcessArguments)


def duties(slots: Sequence[int], serving: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """The slots from whose sockets each serving process accepts: its own, and those without a process.

    >>> duties([0, 1, 2, 3], serving=[0, 2])
    {0: (0, 1), 2: (2, 3)}
    """
    orphans = [slot for slot in slots if slot not in serving]
    return {
        slot: tuple(sorted([slot, *orphans[index :: len(serving)]])) for index, slot in enumerate(serving)
    }
