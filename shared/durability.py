"""Durability of a job before its 202, and the server versions that support it.

    memory    the server has it; if the host dies, writes since the last `appendfsync` are lost (about 1 s)
    disk      the server's append-only file has it on disk              `appendfsync always` and WAITAOF 1 0
    replica   a replica has received it, which Sentinel can promote     WAIT 1

For both, give the server `appendfsync always` and choose `replica`.

`disk` requires `appendfsync always`: with `everysec`, Valkey 9 answers WAITAOF before it has synced the file
(docs/decisions/0001-disk-durability-demands-appendfsync-always.md). This is checked when a program starts,
and with each submission, because a reconnect or a failover may lead to another server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ResponseError

from shared.errors import NotDurableError, QueueUnavailableError, UnsupportedServerError

if TYPE_CHECKING:
    import redis

SYNC_OPTIONS = ("appendfsync", "no-appendfsync-on-rewrite")
"""The options read with `CONFIG GET`."""
SyncPolicy = Mapping[str, str]
"""The answer to it."""
VOUCHED: SyncPolicy = {"appendfsync": "always"}
"""The policy assumed for a server that rejects `CONFIG GET`, on the operator's word (TAKT_APPENDFSYNC)."""
RETRY_AFTER_S = 2.0
_LEAST = {"redis": (7, 0), "valkey": (7, 2)}
_LEAST_WITH_WAITAOF = {"redis": (7, 2), "valkey": (7, 2)}


@dataclass(frozen=True)
class Server:
    name: str  # redis | valkey
    version: str

    @property
    def release(self) -> tuple[int, ...]:
        """Major and minor version."""
        return tuple(int(part) for part in self.version.split(".")[:2])

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def check_server(info: Mapping[str, object]) -> Server:
    """The server of an `INFO server` answer: Redis ≥ 7.0 or Valkey ≥ 7.2. Raises UnsupportedServerError."""
    # Valkey keeps `redis_version` at 7.2.4 for old clients and reports its own version separately
    name = "valkey" if "valkey_version" in info else "redis"
    server = Server(name, str(info.get(f"{name}_version", "0")))
    least = _LEAST[name]
    if server.release < least:
        raise UnsupportedServerError(
            f"{server} is too old: Takt needs {name} {'.'.join(map(str, least))} or later."
        )
    return server


class Promise(StrEnum):
    MEMORY = "memory"
    DISK = "disk"
    REPLICA = "replica"


_PLACE = {Promise.DISK: "the queue's disk", Promise.REPLICA: "a replica of the queue"}


@dataclass(frozen=True)
class Durability:
    """A promise, and the longest wait of a client for it."""

    promise: Promise = Promise.MEMORY
    limit_ms: int = 2000
    vouched: bool = False  # the operator confirms that the server has `appendfsync always`

    @property
    def command(self) -> tuple[str | int, ...] | None:
        """The command that waits for the writes of its own connection; None: no wait."""
        match self.promise:
            case Promise.MEMORY:
                return None
            case Promise.DISK:
                return "WAITAOF", 1, 0, self.limit_ms
            case Promise.REPLICA:
                return "WAIT", 1, self.limit_ms

    @property
    def asks(self) -> bool:
        """Whether the server's `SYNC_OPTIONS` are read."""
        return self.promise is Promise.DISK and not self.vouched

    def kept(self, answer: Any) -> bool:  # Any: the command's answer
        """Whether the answer confirms the promise, as opposed to a timeout."""
        copies: int = answer[0] if isinstance(answer, list) else answer
        return copies >= 1


def unsynced(policy: SyncPolicy | None) -> str:
    """Why a write with this policy may be acknowledged before it is on disk; empty: it may not.

    None: the server did not reveal its policy.
    """
    if policy is None:
        return (
            "refuses CONFIG GET appendfsync: allow it, or set TAKT_APPENDFSYNC=always if the server has "
            "`appendfsync always`"
        )
    if policy.get("appendfsync") != "always":
        return (
            f"has `appendfsync {policy.get('appendfsync')}`, which acknowledges a write before it is on the "
            "disk: set `appendfsync always`"
        )
    if policy.get("no-appendfsync-on-rewrite") == "yes":
        return (
            "has `no-appendfsync-on-rewrite yes`, which acknowledges writes during a rewrite before they are "
            "on the disk: set `no-appendfsync-on-rewrite no`"
        )
    return ""


def check_durable(info: Mapping[str, object], promise: Promise, policy: SyncPolicy | None) -> Server:
    """The server of an `INFO` with the sections `server` and `persistence`, if it can keep the promise.

    `policy`: its `SYNC_OPTIONS`; None: not revealed. Raises UnsupportedServerError.
    """
    server = check_server(info)
    if promise is not Promise.DISK:
        return server
    if server.release < _LEAST_WITH_WAITAOF[server.name]:
        raise UnsupportedServerError(
            f"{server} has no WAITAOF, which TAKT_DURABILITY=disk needs: use Redis or Valkey 7.2 or later, "
            "or give it `appendfsync always` and choose TAKT_DURABILITY=memory."
        )
    if not info.get("aof_enabled"):
        raise UnsupportedServerError(
            f"{server} keeps no append-only file: TAKT_DURABILITY=disk needs `appendonly yes` and "
            "`appendfsync always`."
        )
    if reason := unsynced(policy):
        raise UnsupportedServerError(f"TAKT_DURABILITY=disk: {server} {reason}.")
    return server


def checked_server(client: redis.Redis, durability: Durability) -> Server:
    """The server behind a client, if it can keep the promise. Raises UnsupportedServerError, RedisError."""
    info: Mapping[str, object] = client.info("server")
    if durability.promise is Promise.DISK:
        info = {**info, **client.info("persistence")}
    return check_durable(info, durability.promise, _sync_policy(client, durability))


def _sync_policy(client: redis.Redis, durability: Durability) -> SyncPolicy | None:
    if not durability.asks:
        return VOUCHED
    try:
        return cast(SyncPolicy, client.config_get(*SYNC_OPTIONS))
    except ResponseError:
        return None


def require_durable(
    job_id: str,
    known: Any,  # Any: raw answers
    answer: Any,
    durability: Durability,
    policy: Any = VOUCHED,
) -> None:
    """Check a server's answers: to a job's barrier, to the wait after it, and to the query of its policy.

    Raises the server's error for the barrier, QueueUnavailableError, UnsupportedServerError, NotDurableError.
    """
    if isinstance(known, Exception):
        raise known
    if not known:
        raise QueueUnavailableError(
            "The queue has lost this job: hand it over again.", retry_after_s=RETRY_AFTER_S
        )
    if isinstance(answer, ResponseError):  # no such command, or no append-only file
        raise UnsupportedServerError(f"TAKT_DURABILITY={durability.promise}: {answer}")
    if isinstance(answer, Exception):
        raise answer
    if not durability.kept(answer):
        raise _not_durable(job_id, durability, "")
    if isinstance(policy, Exception) and not isinstance(policy, ResponseError):
        raise policy
    if reason := unsynced(None if isinstance(policy, ResponseError) else policy):
        raise _not_durable(job_id, durability, f" The queue's server {reason}.")


def _not_durable(job_id: str, durability: Durability, reason: str) -> NotDurableError:
    return NotDurableError(
        f"Job {job_id!r} was taken, but it is not on {_PLACE[durability.promise]} yet: send it again "
        f"with the same Idempotency-Key, or ask for it.{reason}",
        retry_after_s=RETRY_AFTER_S,
    )
