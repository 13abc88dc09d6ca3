"""Episodes: a condition from its beginning until its end has been notified, as stored in Redis.

    new ─ delivered ─▶ told ─ ended ─▶ ending ─ delivered ─▶ removed
     └─ ended before the delivery, or no receiver ─▶ removed

Pure: the clock is passed in. The gateway that holds the lease applies the changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from shared.backoff import Backoff
from shared.conditions.kinds import Severity
from shared.conditions.records import Standing
from shared.integrity import SHORT, digest_of

RETRY = Backoff(first_s=2.0, longest_s=300.0, factor=2.0)
RETRY_FOR_MS = 86_400_000
"""After a day without a delivery, an ended episode is dropped."""


class Stage(StrEnum):
    NEW = "new"  # the receiver does not know of it
    NOTIFIED = "told"
    ENDING = "ending"  # it has ended, and the receiver does not know that


class Episode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A condition that lasts, or whose end is to be notified."""

    code: str
    severity: Severity
    subject: str
    message: str
    remedy: str
    since_ms: int
    stage: Stage = Stage.NEW
    ended_ms: int = 0
    attempts: int = 0
    due_ms: int = 0

    @property
    def is_present(self) -> bool:
        return self.stage is not Stage.ENDING

    @property
    def event_id(self) -> str:
        """The same for every attempt, and for no other event: receivers detect repeated messages by it."""
        event = "cleared" if self.stage is Stage.ENDING else "fired"
        subject = digest_of(self.subject.encode())[:SHORT]  # a subject may not be a header's value
        return f"msg_{self.code}_{subject}_{self.since_ms}_{event}"


def next_episodes(
    recorded: Mapping[str, Episode], standing: Iterable[Standing], now_ms: int, *, notifies: bool
) -> dict[str, Episode]:
    """The episodes after an observation. Without a receiver (`notifies`) they end with their conditions."""
    present = {one.condition.id: one for one in standing}
    kept: dict[str, Episode] = {}
    for id_, one in present.items():
        before = recorded.get(id_)
        kept[id_] = before if before is not None and before.is_present else _begun(one)
    for id_, episode in recorded.items():
        if id_ not in present and notifies and (ending := _ended(episode, now_ms)) is not None:
            kept[id_] = ending
    return kept


def _begun(one: Standing) -> Episode:
    condition = one.condition
    return Episode(
        code=condition.code,
        severity=condition.kind.severity,
        subject=condition.subject,
        message=condition.message,
        remedy=condition.remedy,
        since_ms=one.since_ms,
    )


def _ended(episode: Episode, now_ms: int) -> Episode | None:
    """None: there is nothing to notify, or no longer."""
    match episode.stage:
        case Stage.NEW:
            return None
        case Stage.NOTIFIED:
            return msgspec.structs.replace(
                episode, stage=Stage.ENDING, ended_ms=now_ms, attempts=0, due_ms=now_ms
            )
        case Stage.ENDING:
            return episode if now_ms - episode.ended_ms < RETRY_FOR_MS else None


def after_attempt(episode: Episode, now_ms: int, *, delivered: bool) -> Episode | None:
    """The episode after an attempt to notify. None: it is over."""
    if not delivered:
        attempts = episode.attempts + 1
        due_ms = now_ms + round(RETRY.pause_s(attempts) * 1000)
        return msgspec.structs.replace(episode, attempts=attempts, due_ms=due_ms)
    if episode.stage is Stage.ENDING:
        return None
    return msgspec.structs.replace(episode, stage=Stage.NOTIFIED, attempts=0, due_ms=0)


def is_due(episode: Episode, now_ms: int) -> bool:
    return episode.stage is not Stage.NOTIFIED and episode.due_ms <= now_ms


def encode_episode(episode: Episode) -> bytes:
    return msgspec.json.encode(episode)


def decode_episode(text: Any) -> Episode | None:  # Any: redis-py's own types
    """None if it cannot be read, for example because a newer Takt wrote it."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return None


_decoder = msgspec.json.Decoder(Episode)
