"""POSTs a condition's begin and end to the operator's receiver, signed like the webhooks of jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network

import msgspec
import structlog

from shared.conditions.episodes import Episode, Stage, after_attempt, is_due
from shared.errors import InvalidInputError, OperatorError
from shared.settings import Settings
from shared.webhook_posts import NotPostedError, Poster
from shared.webhook_signatures import cloud_event, headers_of
from shared.webhooks import WebhookTarget, target_of

log = structlog.get_logger()

EVENT_SOURCE = "urn:takt:conditions"
TIME_LIMIT_S = 5.0
"""For a receiver's answer; below the lease of the gateway that notifies."""
_ANYWHERE = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
"""The operator chose the URL, so that private networks are permitted; metadata services are not."""


class ConditionNotifier:
    """Delivers due notifications. Without a receiver it delivers nothing."""

    def __init__(self, settings: Settings, now_s: Callable[[], float] = time.time) -> None:
        """Raises OperatorError if the URL is not one of a webhook, or there is no secret."""
        self._keys = settings.webhook_keys()
        self._target = _target(settings)
        self._post = Poster(_ANYWHERE, TIME_LIMIT_S)
        self._now_s = now_s

    @property
    def notifies(self) -> bool:
        return self._target is not None

    async def deliver(self, episodes: Mapping[str, Episode], now_ms: int) -> dict[str, Episode]:
        """Attempt every due notification. → the episodes afterwards"""
        if self._target is None:
            return dict(episodes)
        due = {id_: episode for id_, episode in episodes.items() if is_due(episode, now_ms)}
        delivered = await asyncio.gather(*(self._attempt(self._target, one) for one in due.values()))
        kept = dict(episodes)
        for (id_, episode), succeeded in zip(due.items(), delivered, strict=True):
            after = after_attempt(episode, now_ms, delivered=succeeded)
            if after is None:
                del kept[id_]
            else:
                kept[id_] = after
        return kept

    async def _attempt(self, target: WebhookTarget, episode: Episode) -> bool:
        body = body_of(episode)
        signed = headers_of(episode.event_id, round(self._now_s()), body, self._keys)
        status, error = None, ""
        try:
            reply = await asyncio.to_thread(self._post, target, signed | event_headers(episode), body)
            status = reply.status
        except NotPostedError as failure:
            error = str(failure)
        log.info("notification_attempted", id=episode.event_id, status=status, error=error)
        return status is not None and 200 <= status < 300


def _target(settings: Settings) -> WebhookTarget | None:
    if not settings.notify_url:
        return None
    if not settings.webhook_keys():
        raise OperatorError("TAKT_NOTIFY_URL needs TAKT_WEBHOOK_SECRET, which signs the notifications.")
    try:
        return target_of(settings.notify_url)
    except InvalidInputError as error:
        raise OperatorError(f"TAKT_NOTIFY_URL: {error.detail}") from None


def body_of(episode: Episode) -> bytes:
    """`type`, `timestamp` and `data` of a condition; the same bytes for every attempt."""
    data = {
        "code": episode.code,
        "severity": episode.severity,
        "since": _moment(episode.since_ms),
        "subject": episode.subject,
        "message": episode.message,
        "remedy": episode.remedy,
    }
    if episode.stage is Stage.ENDING:
        data["ended"] = _moment(episode.ended_ms)
    return msgspec.json.encode({"type": _type_of(episode), "timestamp": _happened_at(episode), "data": data})


def event_headers(episode: Episode) -> dict[str, str]:
    return cloud_event(
        episode.event_id,
        _type_of(episode),
        source=EVENT_SOURCE,
        subject=episode.code,
        at=_happened_at(episode),
    )


def _type_of(episode: Episode) -> str:
    return "condition.cleared" if episode.stage is Stage.ENDING else "condition.fired"


def _happened_at(episode: Episode) -> datetime:
    return _moment(episode.ended_ms or episode.since_ms)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
