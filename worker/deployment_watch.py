"""Reads the deployments for the supervisor, which has no connection to Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import redis
import structlog
from redis.exceptions import RedisError

from shared import keys
from shared.deployments import decode_deployment
from shared.model_cache import open_model_cache
from shared.settings import Settings
from worker.control.supervisor_link import SupervisorLink
from worker.models.candidates import CandidateVerifier
from worker.models.store_follower import StoreFollower

log = structlog.get_logger(__name__)


class DeploymentWatch:
    """Passes on the versions that deployments want, after each change, and verifies candidates."""

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        worker_id: str,
        link: SupervisorLink | None,
        held: Callable[[], Iterable[str]],
    ) -> None:
        """`held`: the keys of the versions that this worker holds or loads."""
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._link = link
        self._version: bytes | None = None
        self._candidates = CandidateVerifier(client, settings, worker_id)
        self._follower: StoreFollower | None = None
        if link is not None and (cache := open_model_cache(settings)) is not None:
            pid = link.start_order.supervisor.pid
            self._follower = StoreFollower(cache, link.deployed, held, pid)
            self._follower.start()

    def stop(self) -> None:
        """Hand the candidate back that is being verified."""
        self._candidates.stop()

    def look(self) -> None:
        """Read the deployments if one has changed. Does nothing while Redis does not answer."""
        self._candidates.look()
        try:
            version = self._client.get(keys.deployments_version())
            if version == self._version:
                return
            stored = self._client.hgetall(keys.deployments())
        except RedisError as error:
            log.debug("deployments_not_read", reason=str(error))
            return
        found = filter(None, map(decode_deployment, stored.values()))
        self._pass_on({one.model: list(one.target.loaded) for one in found})
        self._version = version

    def _pass_on(self, versions: dict[str, list[str]]) -> None:
        if self._follower is not None:
            self._follower.want(versions)
        elif self._link is not None:
            self._link.deployed(versions)
