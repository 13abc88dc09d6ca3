"""The scrubber: reads stored rows and results at a low rate, and checks them against their recorded digests.

    shared/ledger/stored.py ─ next object ─▶ read ─ SHA-256 ─▶ intact
                                                         └──▶ corrupt, missing ─▶ ledger.recompute

A disk changes bits of objects that nobody reads. One worker of all holds the scrubber's lease and walks
through the jobs, oldest first; it notes in the queue how far it is, so that a later one goes on from there.
A result that is not what was written is computed again from its rows while these are still there. Rows that
were changed are reported: their result stands, and only a later loss of it is final.
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
from shared.errors import PayloadCorrupt, PayloadError, PayloadStoreAway
from shared.integrity import require_intact
from shared.ledger import Ledger
from shared.ledger.stored import Place, StoredObject, is_current, next_place, stored_objects
from shared.payloads import PayloadStore

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
LEASE_MS = 10_000
LEAST_PAUSE_S = 0.01
"""After each object, however small: one costs the queue a round trip."""
LOOK_AGAIN_S = 0.5
"""When an object that is not as it should be is read again, before it counts as changed or lost."""
REASON = "{}: the scrubber found that the stored result of this chunk is missing or damaged"


class Condition(StrEnum):
    """What was found of an object."""

    INTACT = "intact"
    CORRUPT = "corrupt"
    MISSING = "missing"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the pass is, for whichever worker goes on with it."""

    begun_ms: int
    place: Place | None = None
    ended: bool = False


class Scrubber(threading.Thread):
    """Runs in every worker; the one that holds the lease does the work."""

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
        """A pass over all jobs begins `every_s` after the last one began, or when that has ended."""
        super().__init__(name="scrubber", daemon=True)
        self._client = client
        self._ledger = ledger
        self._store = store
        self._worker_id = worker_id
        self._bytes_per_s = bytes_per_s
        self._every_ms = round(every_s * 1000)
        self._stopping = threading.Event()
        self._leased_until_s = 0.0
        self.checked = dict.fromkeys(map(str, Condition), 0)
        """Objects that were read, by what was found."""

    def stop(self) -> None:
        self._stopping.set()
        self.join(timeout=5)

    def run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.take_turn()
            except (RedisError, PayloadStoreAway, MemoryError) as error:
                log.warning("scrub_delayed", reason=str(error))
            except Exception:  # a bug in one pass must not end all later ones
                log.exception("scrub_broke")

    def take_turn(self) -> int:
        """Go on with the pass, if this worker leads and one is due. → jobs that were looked at"""
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
        """Raises PayloadStoreAway, redis.exceptions.RedisError."""
        for found in stored_objects(self._client, job_id):
            begun_s = time.monotonic()
            condition, size_bytes = self._condition(found)
            if condition is not Condition.INTACT:
                self._report(found, condition)
            self.checked[condition] += 1
            pause_s = max(LEAST_PAUSE_S, size_bytes / self._bytes_per_s - (time.monotonic() - begun_s))
            if self._stopping.wait(pause_s) or not self._leads():
                return

    def _condition(self, found: StoredObject) -> tuple[Condition, int]:
        """→ and its size. An object that was removed with its job meanwhile is as it should be."""
        condition, size_bytes = self._look(found)
        if condition is Condition.INTACT or self._stopping.wait(LOOK_AGAIN_S):
            return Condition.INTACT, size_bytes
        condition, size_bytes = self._look(found)
        if condition is not Condition.INTACT and not is_current(self._client, found):
            condition = Condition.INTACT
        return condition, size_bytes

    def _look(self, found: StoredObject) -> tuple[Condition, int]:
        try:
            data = found.inline or self._store.get(found.path)
        except PayloadStoreAway:
            raise
        except PayloadError:
            return Condition.MISSING, 0
        try:
            require_intact(data, found.sha256, str(found))
        except PayloadCorrupt:
            return Condition.CORRUPT, len(data)
        return Condition.INTACT, len(data)

    def _report(self, found: StoredObject, condition: Condition) -> None:
        made = "reported"
        if found.kind == "result":
            code = "payload_corrupt" if condition is Condition.CORRUPT else "payload_lost"
            reason = REASON.format(code)
            made = str(self._ledger.recompute(found.job_id, found.chunk.index, found.chunk.token, reason))
        log.error(
            "object_not_intact",
            job_id=found.job_id,
            chunk=found.chunk.index,
            kind=found.kind,
            found=str(condition),
            made=made,
        )

    def _due(self, now_ms: int) -> Progress | None:
        """The pass that goes on, or a new one; None: the last one is over, and the next is not due."""
        text = self._client.get(keys.scrub_progress())
        try:
            last = msgspec.json.decode(text, type=Progress) if isinstance(text, bytes) else None
        except msgspec.MsgspecError:
            last = None
        if last is None or (last.ended and now_ms >= last.begun_ms + self._every_ms):
            return Progress(begun_ms=now_ms)
        return None if last.ended else last

    def _now_ms(self) -> int:
        seconds, microseconds = self._client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def _leads(self) -> bool:
        """Whether this worker holds the lease, renewed where a third of it is over."""
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
