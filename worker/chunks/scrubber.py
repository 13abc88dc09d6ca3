"""The scrubber reads stored rows and results at a low rate and checks them against their recorded digests.

    shared/ledger/stored_objects.py ─ next object ─▶ read ─ SHA-256 ─▶ intact
                                                         └──▶ corrupt, missing ─▶ ledger.recompute

Disks corrupt objects that are never read. The worker that holds the scrubber's lease walks through the jobs,
oldest first, and stores its progress in Redis, so that another worker can continue. A damaged result is
computed again while its rows are still stored. Damaged rows are only reported: their result is valid, and a
job loses data only if that result is lost later.
"""

from __future__ import annotations

import threading
import time
from enum import StrEnum

import msgspec
import redis
import structlog
from redis.exceptions import RedisError

from shared import keys
from shared.errors import PayloadCorruptError, PayloadError, PayloadStoreAwayError
from shared.integrity import require_intact
from shared.ledger import Ledger
from shared.ledger.stored_objects import StoredObject, WalkPosition, is_current, next_place, stored_objects
from shared.payloads import PayloadStore

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
LEASE_MS = 10_000
LEAST_PAUSE_S = 0.01
"""Pause after each object, however small: each costs Redis a round trip."""
LOOK_AGAIN_S = 0.5
"""Delay before an object that fails the check is read again; only then does it count as damaged or lost."""
DAMAGE_SHOWN_S = 86_400
"""How long found damage counts as a condition."""
REASON = "{}: the scrubber found that the stored result of this chunk is missing or damaged"


class ObjectState(StrEnum):
    """Outcome of checking an object."""

    INTACT = "intact"
    CORRUPT = "corrupt"
    MISSING = "missing"


class ScrubProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of the current pass, for the worker that continues it."""

    begun_ms: int
    place: WalkPosition | None = None
    ended: bool = False


class Scrubber(threading.Thread):
    """Runs in every worker; the worker that holds the lease does the work."""

    def __init__(
        self,
        client: redis.Redis,
        ledger: Ledger,
        store: PayloadStore,
        worker_id: str,
        *,
        bytes_per_s: int,
        every_s: float,
    ) -> None:
        """A pass over all jobs begins `every_s` after the last pass began, or when that pass has ended."""
        super().__init__(name="scrubber", daemon=True)
        self._client = client
        self._ledger = ledger
        self._store = store
        self._worker_id = worker_id
        self._bytes_per_s = bytes_per_s
        self._every_ms = round(every_s * 1000)
        self._stopping = threading.Event()
        self._leased_until_s = 0.0
        self.checked = dict.fromkeys(map(str, ObjectState), 0)
        """Objects checked, by condition."""

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=5)

    def run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.take_turn()
            except (RedisError, PayloadStoreAwayError, MemoryError) as error:
                log.warning("scrub_delayed", reason=str(error))
            except Exception:  # an exception in a pass must not end the thread
                log.exception("scrub_broke")

    def take_turn(self) -> int:
        """Continue the pass, if this worker leads and a pass is due. → number of jobs checked."""
        if not self._leads():
            return 0
        progress, jobs = self._due(self._now_ms()), 0
        while progress and not progress.ended and not self._stopping.is_set() and self._leads():
            place = next_place(self._client, progress.place)
            if place is None:
                progress = msgspec.structs.replace(progress, place=None, ended=True)
            else:
                self.check_job(place.job_id)
                progress, jobs = msgspec.structs.replace(progress, place=place), jobs + 1
            self._client.set(keys.scrub_progress(), msgspec.json.encode(progress))
        return jobs

    def check_job(self, job_id: str) -> None:
        """Check all objects of a job. Raises PayloadStoreAwayError, redis.exceptions.RedisError."""
        for found in stored_objects(self._client, job_id):
            begun_s = time.monotonic()
            condition, size_bytes = self._condition(found)
            if condition is not ObjectState.INTACT:
                self._report(found, condition)
            self.checked[condition] += 1
            pause_s = max(LEAST_PAUSE_S, size_bytes / self._bytes_per_s - (time.monotonic() - begun_s))
            if self._stopping.wait(pause_s) or not self._leads():
                return

    def _condition(self, found: StoredObject) -> tuple[ObjectState, int]:
        """→ condition and size. An object that was removed with its job in the meantime counts as intact."""
        condition, size_bytes = self._look(found)
        if condition is ObjectState.INTACT or self._stopping.wait(LOOK_AGAIN_S):
            return ObjectState.INTACT, size_bytes
        condition, size_bytes = self._look(found)
        if condition is not ObjectState.INTACT and not is_current(self._client, found):
            condition = ObjectState.INTACT
        return condition, size_bytes

    def _look(self, found: StoredObject) -> tuple[ObjectState, int]:
        try:
            data = found.inline or self._store.get(found.path)
        except PayloadStoreAwayError:
            raise
        except PayloadError:
            return ObjectState.MISSING, 0
        try:
            require_intact(data, found.digest, str(found))
        except PayloadCorruptError:
            return ObjectState.CORRUPT, len(data)
        return ObjectState.INTACT, len(data)

    def _report(self, found: StoredObject, condition: ObjectState) -> None:
        made = "reported"
        if found.kind == "result":
            code = "payload_corrupt" if condition is ObjectState.CORRUPT else "payload_lost"
            reason = REASON.format(code)
            made = str(self._ledger.recompute(found.job_id, found.chunk.index, found.chunk.token, reason))
        self._client.hincrby(keys.damaged(), "count", 1)
        self._client.hset(keys.damaged(), "job", found.job_id)
        self._client.expire(keys.damaged(), DAMAGE_SHOWN_S)
        log.error(
            "object_not_intact",
            job_id=found.job_id,
            chunk=found.chunk.index,
            kind=found.kind,
            found=str(condition),
            made=made,
        )

    def _due(self, now_ms: int) -> ScrubProgress | None:
        """The pass to continue, or a new pass; None: the last pass has ended and the next is not due."""
        text = self._client.get(keys.scrub_progress())
        try:
            last = msgspec.json.decode(text, type=ScrubProgress) if isinstance(text, bytes) else None
        except msgspec.MsgspecError:
            last = None
        if last is None or (last.ended and now_ms >= last.begun_ms + self._every_ms):
            return ScrubProgress(begun_ms=now_ms)
        return None if last.ended else last

    def _now_ms(self) -> int:
        seconds, microseconds = self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def _leads(self) -> bool:
        """Whether this worker holds the lease; renewed after a third of its time."""
        now_s = time.monotonic()
        if now_s < self._leased_until_s - LEASE_MS / 1000 * 2 / 3:
            return True
        name, me = keys.scrubber_lock(), self._worker_id
        if not self._client.set(name, me, nx=True, px=LEASE_MS):
            if self._client.get(name) != me.encode():
                return False
            self._client.pexpire(name, LEASE_MS)
        self._leased_until_s = now_s + LEASE_MS / 1000
        return True
