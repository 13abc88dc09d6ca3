"""Keeps this machine's copy of an object store of models up to date, for the supervisor.

A deployment may want a version that was published after this machine read the store. The supervisor hears of
the deployment once the version's declaration is here; a verifier then copies its files. While the store is
away, versions that are here are deployed as before.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable

import structlog

from shared.errors import ModelStoreError
from shared.keys import split_model_key
from shared.model_cache import ModelCache

log = structlog.get_logger(__name__)

KEEP_EVERY_S = 60.0
RETRY_S = 2.0

Versions = dict[str, list[str]]


class StoreFollower(threading.Thread):
    """Passes deployments on to the supervisor once their versions are known on this machine."""

    def __init__(
        self,
        cache: ModelCache,
        pass_on: Callable[[Versions], None],
        held: Callable[[], Iterable[str]],
        supervisor_pid: int,
    ) -> None:
        """`held`: the keys of the versions that this worker holds or loads."""
        super().__init__(name="model-store", daemon=True)
        self._cache = cache
        self._pass_on = pass_on
        self._held = held
        self._supervisor_pid = supervisor_pid
        self._wanted: Versions | None = None
        self._changed = threading.Event()
        self._is_fresh = False

    def want(self, versions: Versions) -> None:
        """Pass on these deployments."""
        self._wanted = versions
        self._changed.set()

    def run(self) -> None:
        while True:
            self._changed.clear()
            wanted = self._wanted
            done = self._follow(wanted)
            self._cache.keep(map(split_model_key, self._held()))
            if done and wanted is self._wanted:
                self._wanted = None
            self._changed.wait(KEEP_EVERY_S if done else RETRY_S)

    def _follow(self, wanted: Versions | None) -> bool:
        """→ False if the store is away and needed."""
        pairs = [(name, version) for name, versions in (wanted or {}).items() for version in versions]
        is_known = all(self._cache.has(name, version) for name, version in pairs)
        is_read = (self._is_fresh and is_known) or self._refresh()
        if wanted is not None and (is_known or is_read):
            self._pass_on(wanted)
            return True
        return is_read

    def _refresh(self) -> bool:
        try:
            is_changed = self._cache.refresh()
        except ModelStoreError as error:
            log.warning("model_store_away", reason=error.detail)
            return False
        if is_changed and self._supervisor_pid:
            os.kill(self._supervisor_pid, signal.SIGHUP)  # it reads the repository again
        self._is_fresh = True
        return True
