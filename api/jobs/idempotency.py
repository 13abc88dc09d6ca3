"""Idempotency-Key: requests with the same key and the same body return the same job.

A key is leased to a job while its body is read, and bound to the body's digest after the last byte. The
digest covers the unpacked body and the options that the client sent with it, but not a form's boundary.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from shared.errors import IdempotencyConflictError, IdempotencyInProgressError, InvalidInputError
from shared.input_problems import InputProblem
from shared.ledger import AsyncLedger, JobRecord, JobState, Reservation

if TYPE_CHECKING:
    from shared.tabular.reading import Reading

HEADER = "idempotency-key"
_SANE = re.compile(r"[\x20-\x7e]{1,255}")
_RETRY_AFTER_S = 2.0


def reservation_name(owner: str, key: str) -> str:
    """The ledger's name of a key. It contains the owner, since owners do not share keys, and a digest of the
    key, so that the key itself is not stored. Raises InvalidInputError.
    """
    if not _SANE.fullmatch(key):
        reason = "must be 1 to 255 printable ASCII characters"
        problem = InputProblem(
            row=None, field="Idempotency-Key", loc=["header", HEADER], msg=reason, type="header"
        )
        raise InvalidInputError(f"Idempotency-Key {reason}.", problems=[problem])
    return f"{owner}:{hashlib.sha256(key.encode()).hexdigest()}"


def fingerprint(reading: Reading, sha256: str) -> str:
    """The digest of a file and of its read options."""
    parts = (
        reading.options.model_dump_json(),
        reading.wrapping.format.media_type,
        reading.wrapping.charset or "",
        sha256,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


async def reserve(ledger: AsyncLedger, name: str, job_id: str) -> Reservation | None:
    """Reserve a key for a job. → None if that succeeded, else the existing reservation

    Raises IdempotencyInProgressError while the body of the existing reservation is being read.
    """
    taken = await ledger.reserve(name, job_id)
    return None if taken is None else whole(taken)


def whole(taken: Reservation) -> Reservation:
    """Return the reservation if its body is complete. Raises IdempotencyInProgressError otherwise."""
    if not taken.digest:
        raise IdempotencyInProgressError(retry_after_s=_RETRY_AFTER_S)
    return taken


async def same_job(ledger: AsyncLedger, taken: Reservation, digest: str) -> JobRecord:
    """Return the job of a reservation.

    Raises IdempotencyConflictError if its body differs, and IdempotencyInProgressError if the job is not
    sealed. If its
    gateway died before sealing it, the job soon fails and the key becomes free.
    """
    if taken.digest != digest:
        raise IdempotencyConflictError
    record = await ledger.read(taken.job_id)
    if record.state is JobState.UPLOADING:
        raise IdempotencyInProgressError(retry_after_s=_RETRY_AFTER_S)
    return record
