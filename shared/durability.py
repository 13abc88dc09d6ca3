"""What must have happened to a job before its client is told that it was taken.

    memory    the server has it; a host that dies loses what `appendfsync` had not written (about a second)
    disk      the server's append-only file has it on the disk     WAITAOF 1 0
    replica   a replica has received it, which Sentinel can promote     WAIT 1

For both, give the server `appendfsync always` and choose `replica`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis.exceptions import ResponseError

from shared.errors import NotDurable, QueueUnavailable, UnsupportedServer
from shared.server import Server, check_server

RETRY_AFTER_S = 2.0
_LEAST_WITH_WAITAOF = {"redis": (7, 2), "valkey": (7, 2)}


class Promise(StrEnum):
    MEMORY = "memory"
    DISK = "disk"
    REPLICA = "replica"


_PLACE = {Promise.DISK: "the queue's disk", Promise.REPLICA: "a replica of the queue"}


@dataclass(frozen=True)
class Durability:
    """A promise, and how long a client is kept waiting for it to be kept."""

    promise: Promise = Promise.MEMORY
    limit_ms: int = 2000

    @property
    def command(self) -> tuple[str | int, ...] | None:
        """What waits for the writes of its own connection; None: nothing has to be waited for."""
        match self.promise:
            case Promise.MEMORY:
                return None
            case Promise.DISK:
                return "WAITAOF", 1, 0, self.limit_ms
            case Promise.REPLICA:
                return "WAIT", 1, self.limit_ms

    def kept(self, answer: Any) -> bool:  # Any: the command's answer
        """Whether the command was answered because it is so, not because its time was over."""
        copies: int = answer[0] if isinstance(answer, list) else answer
        return copies >= 1


def check_durable(info: Mapping[str, object], promise: Promise) -> Server:
    """The server of an `INFO` with the sections `server` and `persistence`, where it can keep a promise.

    Raises UnsupportedServer.
    """
    server = check_server(info)
    if promise is not Promise.DISK:
        return server
    if server.release < _LEAST_WITH_WAITAOF[server.name]:
        raise UnsupportedServer(
            f"{server} has no WAITAOF, which TAKT_DURABILITY=disk needs: use Redis or Valkey 7.2 or later, "
            "or give it `appendfsync always` and choose TAKT_DURABILITY=memory."
        )
    if not info.get("aof_enabled"):
        raise UnsupportedServer(
            f"{server} keeps no append-only file: TAKT_DURABILITY=disk needs `appendonly yes`."
        )
    return server


def require_durable(job_id: str, known: Any, answer: Any, durability: Durability) -> None:  # Any: raw answers
    """Judge what a server said to a job's fence and to the wait behind it.

    Raises what the server raised at the fence, QueueUnavailable, UnsupportedServer, NotDurable.
    """
    if isinstance(known, Exception):
        raise known
    if not known:
        raise QueueUnavailable(
            "The queue has lost this job: hand it over again.", retry_after_s=RETRY_AFTER_S
        )
    if isinstance(answer, ResponseError):  # no such command, or no append-only file
        raise UnsupportedServer(f"TAKT_DURABILITY={durability.promise}: {answer}")
    if isinstance(answer, Exception):
        raise answer
    if not durability.kept(answer):
        raise NotDurable(
            f"Job {job_id!r} was taken, but it is not on {_PLACE[durability.promise]} yet: send it again "
            "with the same Idempotency-Key, or ask for it.",
            retry_after_s=RETRY_AFTER_S,
        )
