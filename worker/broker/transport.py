"""Celery's way to its doorbells: kombu's connection with shorter pauses, and a look at each item first.

An item that is no doorbell is set aside, and kombu is told that none came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import structlog
from kombu.connection import Connection
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.exceptions import RedisError

from shared.connections import connect
from shared.dead_letters import DeadLetters, LetterKind, Unreadable
from shared.keys import model_key_of_queue
from shared.library_hooks import require_hooks
from shared.settings import settings
from worker.broker.messages import problem_of

log = structlog.get_logger(__name__)

require_hooks("kombu", kombu_redis.QoS, ("ack",))
require_hooks("kombu", kombu_redis.Channel, ("QoS", "_create_client"))
require_hooks("kombu", kombu_redis.SentinelChannel, ("QoS", "_create_client"))
require_hooks("kombu", kombu_redis.Transport, ("Channel",))
require_hooks("kombu", kombu_redis.SentinelTransport, ("Channel",))
require_hooks("kombu", Connection, ("ensure_connection", "get_transport_cls"))


def checked(popped: Sequence[bytes] | None, dead_letters: DeadLetters) -> tuple[bytes, bytes] | None:
    """What BRPOP gave, queue and item; None also where that is no doorbell, which is then set aside."""
    if not popped:
        return None
    queue, item = popped
    reason = problem_of(item)
    if not reason:
        return queue, item
    model = model_key_of_queue(queue.decode(errors="replace"))
    log.error("doorbell_unreadable", model=model, reason=reason)
    place = f"doorbell/{hashlib.sha256(item).hexdigest()[:32]}"
    found = Unreadable(kind=LetterKind.DOORBELL, place=place, model=model, reason=reason, data=item)
    try:
        dead_letters.set_aside(found)
    except RedisError as error:  # it is off the list: nobody trips over it, and chunks have other doorbells
        log.warning("dead_letter_lost", place=place, reason=str(error))
    return None


@cache
def _dead_letters() -> DeadLetters:
    return DeadLetters(connect(settings().redis_dsn()))  # kombu makes a client for each acknowledgement


class _QoS(kombu_redis.QoS):
    """Gives a doorbell's place among the prefetched free even where the server does not hear of it.

    kombu's keeps the place for ever, so that as many lost acknowledgements as there are threads end all
    consuming. The server still has the doorbell, and brings it back after the visibility timeout: one too
    many, which is harmless.
    """

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]  # kombu publishes no types
        except (RedisError, OSError) as error:
            log.warning("doorbell_not_acknowledged", reason=str(error))
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]


class _Checking:
    """A channel whose client looks at what it pops."""

    QoS = _QoS

    def _create_client(self, *args: Any, **options: Any) -> Any:  # Any: kombu's own
        client = super()._create_client(*args, **options)  # type: ignore[misc]  # of the channel it is mixed into
        client.set_response_callback("BRPOP", lambda popped, **_: checked(popped, _dead_letters()))
        return client


class _Channel(_Checking, kombu_redis.Channel):
    """Of one server."""


class _SentinelChannel(_Checking, kombu_redis.SentinelChannel):
    """Of a server that Sentinel watches."""


class _Transport(kombu_redis.Transport):
    Channel = _Channel


class _SentinelTransport(kombu_redis.SentinelTransport):
    Channel = _SentinelChannel


class BrokerConnection(Connection):
    """Looks for its server every two seconds: kombu's pause grows to 30 s, with no doorbell heard."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:  # Any: kombu's own
        pauses = {"interval_start": 1, "interval_step": 1, "interval_max": 2}
        return super().ensure_connection(*args, **options, **pauses)  # type: ignore[no-untyped-call]

    def get_transport_cls(self) -> type:
        usual = super().get_transport_cls()  # type: ignore[no-untyped-call]
        return _SentinelTransport if issubclass(usual, kombu_redis.SentinelTransport) else _Transport
