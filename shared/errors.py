"""The errors of Takt: a tree, ordered by what the caller can do.

    ServiceError
    ├── CallerError               change the request, then send it again
    │   ├── InvalidInputError            a row or a field is invalid; each problem is named
    │   ├── Unauthorized            no valid API key
    │   ├── Forbidden               the key does not permit this request
    │   ├── ModelNotFoundError           no such model or version in the repository
    │   ├── JobNotFoundError             no such job, or another owner's
    │   ├── JobExpiredError              the retention of the job is over
    │   ├── InvalidStateError            the state of the job does not allow the request
    │   ├── VersionExistsError           the version was published before, with other bytes
    │   ├── PreconditionFailedError      `If-Match` is false
    │   ├── NotAcceptableError           no answer in a requested format
    │   ├── IdempotencyConflictError     the key belongs to another body
    │   ├── PayloadTooLargeError         more bytes or rows than this deployment accepts
    │   └── UnsupportedMediaTypeError    a body in an unsupported format
    │         └── UnsupportedCodingError   … or in an unsupported Content-Encoding
    ├── TryLaterError                  the same request may succeed later
    │   ├── ModelNotLoadedError          no live worker holds this model version
    │   ├── ModelMismatchError           workers hold another spec or artifact than the gateway
    │   ├── IdempotencyInProgressError   the first body with this key is still being read
    │   ├── RequestTimeoutError          the head of the request did not arrive in time
    │   ├── UploadInterruptedError       the body ended or stopped before it was complete
    │   ├── ResultsNotReadyError         the job has not succeeded, so it has no complete results
    │   ├── MessageUnreadableError       another process could not read a message of the queue
    │   ├── RateLimitedError             the quota of the key is used up for now
    │   │     └── TooManyJobsError         … its owner has the maximum of unfinished jobs
    │   ├── Overloaded              the queue is longer than the deadline allows
    │   ├── QueueUnavailableError        Redis does not answer
    │   ├── StorageFullError             the payload store has no space for more rows
    │   ├── NotDurableError              the job was accepted, but is not yet as durable as required
    │   └── DeadlineExceededError        the request was accepted, but no answer came in time
    ├── PredictionFailedError          the model raised an exception on this input
    └── OperatorError             the installation needs a repair
        ├── SpecError               an invalid model.toml
        ├── ArtifactError           an artifact that is missing or differs from the build
        ├── ModelStoreError         the model store cannot be read or written
        ├── PayloadError            a stored payload that cannot be read or written
        │     ├── PayloadStoreAwayError    … because the store fails for now
        │     ├── ResultLostError          a missing or damaged result: it can be computed again
        │     ├── PayloadLostError         missing or damaged rows: they cannot be restored
        │     └── PayloadCorruptError      … because it differs from the written object
        ├── RecordUnreadableError        a ledger record that is corrupt, or of a newer Takt
        └── UnsupportedServerError       a Redis or Valkey that is too old for Takt's guarantees

An error crosses the queue as `(code, detail)` and is raised on the other side as the same class. HTTP
status codes appear only in `api/http/error_status.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from shared.input_problems import InputProblem, bounded_problems
from shared.safe_texts import bounded

STORAGE_RETRY_S = 30.0
"""Retry delay for a full store: the longest delay that our client waits by itself."""


class ServiceError(Exception):
    """An internal error of Takt."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str | None = None, *, retry_after_s: float | None = None) -> None:
        self.detail = bounded(detail) if detail is not None else first_line(self.__doc__)
        self.retry_after_s = retry_after_s
        super().__init__(self.detail)


class CallerError(ServiceError):
    """The request cannot be served as it is."""


class InvalidInputError(CallerError):
    """The input does not match the model's declared inputs."""

    code = "validation_error"

    def __init__(
        self, detail: str | None = None, *, problems: Sequence[InputProblem] = (), more_problems: int = 0
    ) -> None:
        """`more_problems`: the number of problems beyond those listed."""
        super().__init__(detail)
        self.problems = bounded_problems(problems)
        self.more_problems = more_problems + len(problems) - len(self.problems)

    def listed(self) -> list[InputProblem]:
        """The problems of an answer: at least 1, and an entry that counts the rest."""
        whole = InputProblem(row=None, field=None, loc=[], msg=self.detail, type="invalid_input")
        if not self.more_problems:
            return self.problems or [whole]
        text = f"{self.more_problems} more problem(s) of this kind are not listed."
        more = InputProblem(row=None, field=None, loc=[], msg=text, type="more_problems")
        return [*self.problems, InputProblem(more | {"count": self.more_problems})]


class UnauthorizedError(CallerError):
    """An API key is required: `Authorization: Bearer takt_…`."""

    code = "unauthorized"


class ForbiddenError(CallerError):
    """This API key does not permit the request."""

    code = "forbidden"


class ModelNotFoundError(CallerError):
    """The repository has no such model or version."""

    code = "model_not_found"


class NotFoundError(CallerError):
    """There is no such object."""

    code = "not_found"


class JobNotFoundError(CallerError):
    """There is no such job."""

    code = "job_not_found"


class JobExpiredError(CallerError):
    """The job's retention is over and its data is gone."""

    code = "job_expired"

    def __init__(self, detail: str | None = None, *, owner: str = "") -> None:
        super().__init__(detail)
        self.owner = owner
        """The owner of the job; never sent to a client."""


class InvalidStateError(CallerError):
    """The job's state does not allow this request."""

    code = "invalid_state"


class VersionExistsError(CallerError):
    """This version was published before, with other bytes."""

    code = "version_exists"


class PreconditionFailedError(CallerError):
    """`If-Match` is false. A job has no strong ETag: send `If-Match: *`, or leave the field out."""

    code = "precondition_failed"


class NotAcceptableError(CallerError):
    """The answer is not available in any of the requested formats."""

    code = "not_acceptable"


class IdempotencyConflictError(CallerError):
    """This Idempotency-Key was used before, with another body or other parameters."""

    code = "idempotency_conflict"


class PayloadTooLargeError(CallerError):
    """The request is larger than this deployment accepts."""

    code = "payload_too_large"


class UnsupportedMediaTypeError(CallerError):
    """This endpoint does not read bodies of this media type."""

    code = "unsupported_media_type"


class UnsupportedCodingError(UnsupportedMediaTypeError):
    """The body has an unsupported Content-Encoding."""


class TryLaterError(ServiceError):
    """The service cannot serve this request now."""

    retryable = True


class ModelNotLoadedError(TryLaterError):
    """No live worker holds this model version."""

    code = "model_not_loaded"


class ModelMismatchError(TryLaterError):
    """Gateway and worker have different specs or artifacts of this model version."""

    code = "model_mismatch"


class IdempotencyInProgressError(TryLaterError):
    """The first request with this Idempotency-Key is still being read."""

    code = "idempotency_in_progress"


class RequestTimeoutError(TryLaterError):
    """The head of the request did not arrive in time."""

    code = "request_timeout"


class UploadInterruptedError(TryLaterError):
    """The upload was interrupted before its end."""

    code = "upload_interrupted"


class ResultsNotReadyError(TryLaterError):
    """The job has no complete results."""

    code = "results_not_ready"


class MessageUnreadableError(TryLaterError):
    """The message was corrupt or of an unknown schema version; it was moved to the dead letters."""

    code = "message_unreadable"


class RateLimitedError(TryLaterError):
    """The quota of this API key is used up for now."""

    code = "rate_limited"


class TooManyJobsError(RateLimitedError):
    """The key's owner has the maximum number of unfinished jobs."""

    code = "too_many_jobs"


class OverloadedError(TryLaterError):
    """More work is waiting than can be answered within the deadline."""

    code = "overloaded"


class QueueUnavailableError(TryLaterError):
    """The queue does not answer."""

    code = "queue_unavailable"


class StorageFullError(TryLaterError):
    """The payload store is full. Space is freed when older jobs expire or are deleted."""

    code = "storage_full"

    def __init__(self, detail: str | None = None, *, retry_after_s: float | None = STORAGE_RETRY_S) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class NotDurableError(TryLaterError):
    """The job was accepted, but does not yet have the durability that this deployment promises."""

    code = "not_durable"


class DeadlineExceededError(TryLaterError):
    """No answer came within the deadline."""

    code = "deadline_exceeded"


class PredictionFailedError(ServiceError):
    """The model failed on this input."""

    code = "prediction_failed"


class OperatorError(ServiceError):
    """The installation needs a repair."""


class SpecError(OperatorError):
    """A model.toml is invalid."""

    code = "invalid_spec"


class ArtifactError(OperatorError):
    """A model artifact is missing or differs from the build."""

    code = "invalid_artifact"


class ModelStoreError(OperatorError):
    """The model store cannot be read or written."""

    code = "model_store_unavailable"


class PayloadError(OperatorError):
    """A stored payload cannot be read or written."""

    code = "payload_unavailable"


class PayloadStoreAwayError(PayloadError):
    """The payload store fails: it is full, unreachable, or rejects the request."""

    full = False
    """Whether the store is out of space."""


class ResultLostError(PayloadError):
    """A committed result is missing or damaged; its chunk can be computed again from its rows."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        job_id: str = "",
        index: int = -1,
        token: str = "",
        cause: str = "payload_lost",
    ) -> None:
        super().__init__(detail)
        self.job_id = job_id
        self.index = index
        self.token = token
        self.cause = cause
        """The error code of the finding: `payload_lost`, or `payload_corrupt` if the result was changed."""


class PayloadLostError(PayloadError):
    """Stored rows are missing or damaged and cannot be restored."""

    code = "payload_lost"


class PayloadCorruptError(PayloadError):
    """A stored object differs from the written object: the digest differs from the record."""

    code = "payload_corrupt"


class RecordUnreadableError(OperatorError):
    """The job's record cannot be read; it was moved to the dead letters for an operator."""

    code = "record_unreadable"


class UnsupportedServerError(OperatorError):
    """The Redis or Valkey server is too old."""

    code = "unsupported_server"


def first_line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]


def _codes(root: type[ServiceError]) -> dict[str, type[ServiceError]]:
    found = {root.code: root} if "code" in vars(root) else {}
    for child in root.__subclasses__():
        found |= _codes(child)
    return found


_BY_CODE = _codes(ServiceError)


def from_wire(code: str, detail: str) -> ServiceError:
    """The error that another process raised. An unknown code, of a newer worker, becomes a ServiceError."""
    return _BY_CODE.get(code, ServiceError)(detail)
