"""Calls of the ledger's Lua scripts: `Transition` is a call, as a value; `source` is the text of a script.

Two executors run transitions: `async_ledger.py` for asyncio, `threaded_ledger.py` for threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from shared import keys
from shared.dead_letters import LUA

T = TypeVar("T")

_SCRIPTS = Path(__file__).parent / "scripts"
_SHARED = ("keys", "shares", "order", "standings", "turns", "uploads", "unreadable", "adoption")
_ANY = keys.ModelKey("{}")
_NAMES = msgspec.json.encode(
    {
        "job": keys.job("{}"),
        "chunks": keys.job_chunks("{}"),
        "ready": keys.job_ready("{}"),
        "active": keys.active(_ANY),
        "owners": keys.owners(_ANY),
        "owner_active": keys.owner_active(_ANY, "{}"),
        "placed": keys.placed(_ANY),
        "fair_times": keys.fair_times(_ANY),
        "running": keys.running("{}"),
        "open_jobs": keys.open_jobs("{}"),
        "access_shares": keys.access_shares(),
        "clocks": keys.clocks(),
        "leases": keys.leases(),
        "jobs": keys.jobs(),
        "events": keys.job_events("{}"),
        "inline": keys.job_inline("{}"),
        "owner_jobs": keys.owner_jobs("{}"),
        "expiring": keys.expiring(),
        "idempotency": keys.idempotency("{}"),
        "webhook": keys.job_webhook("{}"),
        "webhooks": keys.webhooks(),
        "worker": keys.worker("{}"),
        "hour": keys.hour("{}"),
        "dead_letters": keys.dead_letters(),
        "dead_letter": keys.dead_letter_mark("{}"),
    }
)


@dataclass(frozen=True)
class Transition(Generic[T]):
    """A script call. `decode` converts the raw answer (Any: Redis' own types)."""

    script: str
    args: tuple[str | int | bytes, ...]
    decode: Callable[[Any], T]

    @property
    def arguments(self) -> list[bytes | str | int]:
        return [_NAMES, *self.args]


@cache
def source(script: str) -> str:
    """The text of a script, preceded by the functions that all scripts share."""
    own = ((_SCRIPTS / f"{name}.lua").read_text(encoding="utf-8") for name in (*_SHARED, script))
    return "\n".join((LUA, *own))
