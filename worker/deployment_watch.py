"""Reads the deployments for the supervisor, which has no connection to Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
import structlog
from redis.exceptions import RedisError

from shared import keys
from shared.deployments import decode_deployment

log = structlog.get_logger(__name__)


class DeploymentWatch:
    """Passes on the versions that deployments want, after each change."""

    def __init__(self, client: redis.Redis, on_change: Callable[[dict[str, list[str]]], None]) -> None:
        """`on_change` gets the wanted versions by model; none of a model that is unloaded."""
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._on_change = on_change
        self._version: bytes | None = None

    def look(self) -> None:
        """Read the deployments if one has changed. Does nothing while Redis does not answer."""
        try:
            version = self._client.get(keys.deployments_version())
            if version == self._version:
                return
            stored = self._client.hgetall(keys.deployments())
        except RedisError as error:
            log.debug("deployments_not_read", reason=str(error))
            return
        found = filter(None, map(decode_deployment, stored.values()))
        self._on_change({one.model: list(one.target.loaded) for one in found})
        self._version = version
