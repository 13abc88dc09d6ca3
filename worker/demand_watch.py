"""Looks for work of versions that are loaded on demand, for the supervisor, which has no connection to Redis.

A gateway admits requests for such a version although no worker holds it; they wait in its stream, and chunks
of jobs in its queue. The supervisor loads a version with work, and drops those used least recently.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
import structlog
from redis.exceptions import RedisError

from shared import keys
from shared.keys import ModelKey
from shared.worker_records import MODELS, STATE, ModelsMemory, WorkerState

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.2
_WITH_WORK = (Path(__file__).parent / "online" / "scripts" / "with_work.lua").read_text(encoding="utf-8")


class DemandWatch(threading.Thread):
    """Looks until `stop`."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        memory: Callable[[], ModelsMemory | None],
        last_used_s: Callable[[], Mapping[ModelKey, float]],
        on_demand: Callable[[dict[str, float], list[str]], None],
    ) -> None:
        """`last_used_s`: when the engine last ran each version that is held here; `on_demand` gets the
        versions used here since the last look, with the seconds since then, and those that no worker holds
        and that have work."""
        super().__init__(name="demand", daemon=True)
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._script = client.register_script(_WITH_WORK)
        self._memory = memory
        self._last_used_s = last_used_s
        self._on_demand = on_demand
        self._reported_s = float("-inf")
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.look()
            except RedisError as error:
                log.debug("demand_not_read", reason=str(error))

    def stop(self) -> None:
        self._stopping.set()

    def look(self) -> None:
        """Report the versions that are in use or requested. Raises redis.exceptions.RedisError."""
        memory = self._memory()
        if memory is None or not memory.on_demand:
            return
        now_s, last_used_s = time.monotonic(), self._last_used_s()
        used = {str(key): now_s - at_s for key, at_s in last_used_s.items() if at_s > self._reported_s}
        with_work = set(self._with_work([ModelKey(key) for key in memory.on_demand]))
        used |= dict.fromkeys(with_work & last_used_s.keys(), 0.0)
        asked = with_work - last_used_s.keys()
        asked = asked - self._held_by_any() if asked else asked
        if used or asked:
            self._on_demand(used, sorted(asked))
        self._reported_s = now_s

    def _with_work(self, declared: Sequence[ModelKey]) -> Iterator[ModelKey]:
        names = [name for key in declared for name in (keys.online(key), keys.active(key))]
        return (declared[int(index)] for index in self._script(keys=names))

    def _held_by_any(self) -> set[ModelKey]:
        """The versions that any worker serves, of this supervisor or another."""
        pipeline = self._client.pipeline(transaction=False)
        for worker_id in self._client.zrange(keys.workers(), 0, -1):
            pipeline.hmget(keys.worker(worker_id.decode()), STATE, MODELS)
        serving = (models for state, models in pipeline.execute() if state == WorkerState.SERVING.encode())
        return {ModelKey(key) for models in serving if models for key in models.decode().split(",")}
