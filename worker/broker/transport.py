"""kombu's Redis transport with shorter pauses and a check of each item.

An item that is not a doorbell goes to the dead letters, and kombu receives no message.
"""

from __future__ import annotations

import hashlib
import json
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
from worker.broker.doorbell_messages import problem_of

log = structlog.get_logger(__name__)

require_hooks("kombu", kombu_redis.QoS, ("ack", "restore_by_tag", "_remove_from_indices"))
require_hooks("kombu", kombu_redis.Channel, ("QoS", "_create_client", "_do_restore_message"))
require_hooks("kombu", kombu_redis.SentinelChannel, ("QoS", "_create_client"))
require_hooks("kombu", kombu_redis.Transport, ("Channel",))
require_hooks("kombu", kombu_redis.SentinelTransport, ("Channel",))
require_hooks("kombu", Connection, ("ensure_connection", "get_transport_cls"))


def checked(popped: Sequence[bytes] | None, dead_letters: DeadLetters) -> tuple[bytes, bytes] | None:
    """Queue and item as BRPOP returned them; None also for an invalid item, which goes to the dead
    letters."""
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
    except RedisError as error:  # it is off the list and can do no harm; its chunks have other doorbells
        log.warning("dead_letter_lost", place=place, reason=str(error))
    return None


@cache
def _dead_letters() -> DeadLetters:
    return DeadLetters(connect(settings().redis_dsn()))  # kombu makes a client for each acknowledgement


class _QoS(kombu_redis.QoS):
    """Releases the prefetch slot of a doorbell even if Redis does not get the acknowledgement.

    Redis still has the doorbell and delivers it again after the visibility timeout; an extra doorbell is
    harmless. kombu keeps the prefetch slot of a lost acknowledgement forever, so after as many as there are
    threads the worker would consume nothing. It returns a doorbell to its queue in a transaction that
    redis-py repeats without end while its connection leads to a former primary of a Sentinel.
    """

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]  # kombu publishes no types
        except (RedisError, OSError) as error:
            log.warning("doorbell_not_acknowledged", reason=str(error))
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Return a doorbell to its queue, in a single attempt."""
        try:
            with self.channel.conn_or_acquire(client) as connected:
                stored = connected.hget(self.unacked_key, tag)
                pipeline = self._remove_from_indices(tag, connected.pipeline())  # type: ignore[no-untyped-call]
                if stored:
                    message, exchange, routing_key = json.loads(stored)
                    self.channel._do_restore_message(message, exchange, routing_key, pipeline, leftmost)
                pipeline.execute()
        except (RedisError, OSError) as error:
            log.warning("doorbell_not_restored", reason=str(error))


class _Checking:
    """A channel whose client checks each item that it pops."""

    QoS = _QoS

    def _create_client(self, *args: Any, **options: Any) -> Any:  # Any: kombu's own
        client = super()._create_client(*args, **options)  # type: ignore[misc]  # of the mixin's channel
        client.set_response_callback("BRPOP", lambda popped, **_: checked(popped, _dead_letters()))
        return client


class _Channel(_Checking, kombu_redis.Channel):
    """A channel to a single server."""


class _SentinelChannel(_Checking, kombu_redis.SentinelChannel):
    """A channel to a server that Sentinel monitors."""


class _Transport(kombu_redis.Transport):
    Channel = _Channel


class _SentinelTransport(kombu_redis.SentinelTransport):
    Channel = _SentinelChannel


class BrokerConnection(Connection):
    """Tries to reconnect every two seconds; kombu's pause grows to 30 s, during which no doorbell arrives."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:  # Any: kombu's own
        pauses = {"interval_start": 1, "interval_step": 1, "interval_max": 2}
        return super().ensure_connection(*args, **options, **pauses)  # type: ignore[no-untyped-call]

    def get_transport_cls(self) -> type:
        usual = super().get_transport_cls()  # type: ignore[no-untyped-call]
        return _SentinelTransport if issubclass(usual, kombu_redis.SentinelTransport) else _Transport
