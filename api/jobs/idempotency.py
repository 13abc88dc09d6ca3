"""Idempotency-Key: the same key and the same body are the same job, however often they are sent.

A key is leased to a job while its body is read, and bound to the body's digest once that is whole. The digest
is of the unpacked body and of what the client said about it; a form's boundary does not matter.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from shared.errors import IdempotencyConflict, IdempotencyInProgress, InvalidInput, Problem
from shared.ledger import AsyncLedger, JobRecord, JobState, Reservation

if TYPE_CHECKING:
    from shared.tabular.reading import Reading

HEADER = "idempotency-key"
_SANE = re.compile(r"[\x20-\x7e]{1,255}")
_RETRY_AFTER_S = 2.0


def reservation_name(owner: str, key: str) -> str:
    """What a key is called in the ledger: owners do not share keys, and what a key says is not kept.

    Raises InvalidInput.
    """
    if not _SANE.fullmatch(key):
        reason = "must be 1 to 255 printable ASCII characters"
        problem = Problem(
            row=None, field="Idempotency-Key", loc=["header", HEADER], msg=reason, type="header"
        )
        raise InvalidInput(f"Idempotency-Key {reason}.", problems=[problem])
    return f"{owner}:{hashlib.sha256(key.encode()).hexdigest()}"


def fingerprint(reading: Reading, sha256: str) -> str:
    """The digest of a file and of how it is to be read."""
    said = (
        reading.options.model_dump_json(),
        reading.wrapping.format,
        reading.wrapping.charset or "",
        sha256,
    )
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


async def reserve(ledger: AsyncLedger, name: str, job_id: str) -> Reservation | None:
    """→ None: the key is this job's now; else whose it is, its body whole.

    Raises IdempotencyInProgress while that body is still being read.
    """
    taken = await ledger.reserve(name, job_id)
    return None if taken is None else whole(taken)


def whole(taken: Reservation) -> Reservation:
    """One of which the body has been read. Raises IdempotencyInProgress."""
    if not taken.digest:
        raise IdempotencyInProgress(retry_after_s=_RETRY_AFTER_S)
    return taken


async def same_job(ledger: AsyncLedger, taken: Reservation, digest: str) -> JobRecord:
    """The job that the key stands for.

    Raises IdempotencyConflict where that is of another body, IdempotencyInProgress where it is not sealed: if
    its gateway died before that, the job fails soon and the key is free.
    """
    if taken.digest != digest:
        raise IdempotencyConflict
    record = await ledger.read(taken.job_id)
    if record.state is JobState.UPLOADING:
        raise IdempotencyInProgress(retry_after_s=_RETRY_AFTER_S)
    return record
