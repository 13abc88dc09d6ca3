"""Doorbells: Celery messages that wake a worker because chunks of a model version are ready.

The gateway and the worker each create their Celery app from `celery_settings`; this module does not import
Celery. A doorbell may be lost, late or duplicated: only the ledger decides which work exists.
"""

from __future__ import annotations

from typing import Any, Protocol

from shared.connections import broker_of
from shared.keys import ModelKey, idle_queue
from shared.settings import Settings

TASK = "takt.claim"
"""The only task: claim the next chunks of `model_key`, run them, commit them."""


class Notify(Protocol):
    """Send `count` doorbells to a model version's queue. Failures are ignored: the reconciler sends again."""

    def __call__(self, key: ModelKey, count: int) -> None: ...


def celery_settings(settings: Settings) -> dict[str, Any]:  # Any: Celery's own settings
    """Celery's configuration, the same for gateway and worker."""
    broker = broker_of(settings.redis_dsn())
    return {
        "broker_url": broker.url,
        "broker_use_ssl": broker.tls or False,
        "broker_connection_retry_on_startup": True,
        "broker_channel_error_retry": True,  # otherwise an error of a full server would end the worker
        "broker_connection_max_retries": None,  # unlimited: the worker waits for its server
        "broker_transport_options": {**broker.options}
        | {
            # Leases return work, by Redis' clock; kombu's timeout would depend on the hosts' clocks.
            "visibility_timeout": 3600,
            "unacked_mutex_expire": 5,
            "priority_steps": [0],
            "queue_order_strategy": "round_robin",
            "health_check_interval": 5,
        },
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "result_backend": None,
        "task_acks_late": True,
        "task_publish_retry": False,
        "task_default_queue": idle_queue(),
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_send_task_events": settings.celery_tools,
        "worker_enable_remote_control": settings.celery_tools,
        "worker_hijack_root_logger": False,
        "timezone": "UTC",
    }
