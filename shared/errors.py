"""Every error that Takt raises on purpose: one tree, drawn by what the caller can do about it.

    TaktError
    ├── CallerError               change the request, then send it again
    │   ├── InvalidInput            a row or a field is wrong; each problem is named
    │   ├── Unauthorized            no key, or one that opens nothing
    │   ├── Forbidden               the key is good, but not for this
    │   ├── ModelNotFound           no such model or version in the repository
    │   ├── JobNotFound             no such job, or somebody else's
    │   ├── JobExpired              the job was here, its retention is over
    │   ├── InvalidState            the job is past what is asked of it
    │   ├── NotAcceptable           an answer in a format that nobody here writes
    │   ├── IdempotencyConflict     the key stands for another body
    │   ├── PayloadTooLarge         more bytes or rows than this deployment takes
    │   └── UnsupportedMediaType    a body in a format that nobody here reads
    │         └── UnsupportedCoding   … or in a Content-Encoding that nobody here unpacks
    ├── TryLater                  the same request may succeed later
    │   ├── ModelNotLoaded          no live worker holds this model version
    │   ├── ModelMismatch           workers hold it with another spec or artifact than the gateway
    │   ├── IdempotencyInProgress   the key's first body is still being read
    │   ├── RequestTimeout          a request whose head does not come
    │   ├── UploadInterrupted       a body that ended, or stopped, before it was whole
    │   ├── ResultsNotReady         the job has not succeeded, so it has no complete results
    │   ├── MessageUnreadable       another process could not read what crossed the queue
    │   ├── RateLimited             the key has used up what it may for now
    │   │     └── TooManyJobs         … as many jobs that have not ended
    │   ├── Overloaded              the queue is longer than the deadline allows
    │   ├── QueueUnavailable        Redis does not answer
    │   ├── StorageFull             the payload store has no room for more rows
    │   ├── NotDurable              the job was taken, but is not yet where TAKT_DURABILITY wants it
    │   └── DeadlineExceeded        accepted, but no answer came in time
    ├── PredictionFailed          the model raised on this input
    └── OperatorError             somebody must mend the installation
        ├── SpecError               a model.toml that says something wrong
        ├── ArtifactError           an artifact that is missing or is not the one that was built
        ├── PayloadError            a stored payload that cannot be read or written
        │     ├── PayloadStoreAway    … by a store that does not do what it is asked, for now
        │     ├── ResultLost          a committed result that is missing or damaged: it can be computed again
        │     ├── PayloadLost         rows that are missing or damaged: nothing can bring them back
        │     └── PayloadCorrupt      … because it is not what was written
        ├── RecordUnreadable        a record of the ledger that is corrupt, or of a newer Takt
        └── UnsupportedServer       a Redis or Valkey too old for what Takt promises

An error crosses the queue as `(code, detail)` and is raised on the other side as the same class. HTTP
status codes appear only in `api/http/errors.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import msgspec

from shared.texts import MOST_NAME_CHARS, bounded

MOST_PROBLEMS = 50
"""That are named in one answer; of more only the number is said."""
_MOST_PROBLEM_CHARS = 500
_MOST_PROBLEMS_BYTES = 32 * 2**10
_MOST_PLACES = 16


STORAGE_RETRY_S = 30.0
"""After which a full store is worth another try: the longest that our client waits by itself."""


class TaktError(Exception):
    """Something went wrong inside Takt."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str | None = None, *, retry_after_s: float | None = None) -> None:
        self.detail = bounded(detail) if detail is not None else first_line(self.__doc__)
        self.retry_after_s = retry_after_s
        super().__init__(self.detail)


class CallerError(TaktError):
    """The request cannot be served as it is."""


class Problem(dict[str, object]):
    """One thing wrong with one value: `row`, `field`, `msg`, `type`, and `loc` as Pydantic gives it."""


class InvalidInput(CallerError):
    """The input does not fit the model's declared inputs."""

    code = "validation_error"

    def __init__(
        self, detail: str | None = None, *, problems: Sequence[Problem] = (), more_problems: int = 0
    ) -> None:
        """`more_problems`: how many there are besides these."""
        super().__init__(detail)
        self.problems = _bounded_problems(problems)
        self.more_problems = more_problems + len(problems) - len(self.problems)

    def listed(self) -> list[Problem]:
        """What an answer says: each problem, at least one, and how many more there are."""
        whole = Problem(row=None, field=None, loc=[], msg=self.detail, type="invalid_input")
        if not self.more_problems:
            return self.problems or [whole]
        said = f"{self.more_problems} more problem(s) of this kind are not listed."
        more = Problem(row=None, field=None, loc=[], msg=said, type="more_problems")
        return [*self.problems, Problem(more | {"count": self.more_problems})]


class Unauthorized(CallerError):
    """An API key is needed: `Authorization: Bearer takt_…`."""

    code = "unauthorized"


class Forbidden(CallerError):
    """This key may not do that."""

    code = "forbidden"


class ModelNotFound(CallerError):
    """No such model or version is in the repository."""

    code = "model_not_found"


class JobNotFound(CallerError):
    """There is no such job."""

    code = "job_not_found"


class JobExpired(CallerError):
    """The job's retention is over and its data is gone."""

    code = "job_expired"

    def __init__(self, detail: str | None = None, *, owner: str = "") -> None:
        super().__init__(detail)
        self.owner = owner
        """Whose it was; never sent."""


class InvalidState(CallerError):
    """The job's state does not allow this."""

    code = "invalid_state"


class NotAcceptable(CallerError):
    """The answer cannot be written in any of the formats that were asked for."""

    code = "not_acceptable"


class IdempotencyConflict(CallerError):
    """This Idempotency-Key was sent before, with another body or other parameters."""

    code = "idempotency_conflict"


class PayloadTooLarge(CallerError):
    """The request is larger than this deployment accepts."""

    code = "payload_too_large"


class UnsupportedMediaType(CallerError):
    """The body's media type is not one that this endpoint reads."""

    code = "unsupported_media_type"


class UnsupportedCoding(UnsupportedMediaType):
    """The body is packed in a way that is not unpacked here."""


class TryLater(TaktError):
    """The service cannot serve this request now."""

    retryable = True


class ModelNotLoaded(TryLater):
    """No live worker holds this model version."""

    code = "model_not_loaded"


class ModelMismatch(TryLater):
    """Gateway and worker have different specs or artifacts of this model version."""

    code = "model_mismatch"


class IdempotencyInProgress(TryLater):
    """The first request with this Idempotency-Key is still being read."""

    code = "idempotency_in_progress"


class RequestTimeout(TryLater):
    """The request's head did not come in time."""

    code = "request_timeout"


class UploadInterrupted(TryLater):
    """The upload broke off before its end."""

    code = "upload_interrupted"


class ResultsNotReady(TryLater):
    """The job has no complete results."""

    code = "results_not_ready"


class MessageUnreadable(TryLater):
    """The message was corrupt, or of a schema version that its receiver does not know; it was set aside."""

    code = "message_unreadable"


class RateLimited(TryLater):
    """The key has used up what it may for now."""

    code = "rate_limited"


class TooManyJobs(RateLimited):
    """The key's owner has as many jobs that have not ended as it may."""

    code = "too_many_jobs"


class Overloaded(TryLater):
    """More work is waiting than can be answered within the deadline."""

    code = "overloaded"


class QueueUnavailable(TryLater):
    """The queue does not answer."""

    code = "queue_unavailable"


class StorageFull(TryLater):
    """The payload store has no room for this job now: room is made as older jobs expire or are deleted."""

    code = "storage_full"

    def __init__(self, detail: str | None = None, *, retry_after_s: float | None = STORAGE_RETRY_S) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)


class NotDurable(TryLater):
    """The job was taken, but it is not as durable yet as this deployment promises."""

    code = "not_durable"


class DeadlineExceeded(TryLater):
    """No answer came within the deadline."""

    code = "deadline_exceeded"


class PredictionFailed(TaktError):
    """The model failed on this input."""

    code = "prediction_failed"


class OperatorError(TaktError):
    """The installation needs mending."""


class SpecError(OperatorError):
    """A model.toml is wrong."""

    code = "invalid_spec"


class ArtifactError(OperatorError):
    """A model artifact is missing or is not the one that was built."""

    code = "invalid_artifact"


class PayloadError(OperatorError):
    """A stored payload cannot be read or written."""

    code = "payload_unavailable"


class PayloadStoreAway(PayloadError):
    """The payload store does not do what it is asked: it is full, out of reach, or refuses."""

    full = False
    """Whether it lacks the room."""


class ResultLost(PayloadError):
    """A committed result is missing or damaged; its chunk can be computed again from its rows."""

    def __init__(
        self, detail: str | None = None, *, index: int = -1, token: str = "", cause: str = "payload_lost"
    ) -> None:
        super().__init__(detail)
        self.index = index
        self.token = token
        self.cause = cause
        """The code of what was found: `payload_lost`, or `payload_corrupt` if the result was changed."""


class PayloadLost(PayloadError):
    """Stored rows are missing or damaged, and nothing can bring them back."""

    code = "payload_lost"


class PayloadCorrupt(PayloadError):
    """A stored object is not what was written: its digest differs from the recorded one."""

    code = "payload_corrupt"


class RecordUnreadable(OperatorError):
    """The job's record cannot be read; it was set aside for an operator to look at."""

    code = "record_unreadable"


class UnsupportedServer(OperatorError):
    """The Redis or Valkey server is too old."""

    code = "unsupported_server"


def _bounded_problems(problems: Iterable[Problem]) -> list[Problem]:
    kept: list[Problem] = []
    left_bytes = _MOST_PROBLEMS_BYTES
    for problem in problems:
        short = Problem({key: _bounded_value(key, value) for key, value in problem.items()})
        left_bytes -= len(msgspec.json.encode(short))
        if len(kept) == MOST_PROBLEMS or (kept and left_bytes < 0):
            break
        kept.append(short)
    return kept


def _bounded_value(key: str, value: object) -> object:
    if isinstance(value, str):
        return bounded(value, _MOST_PROBLEM_CHARS if key == "msg" else MOST_NAME_CHARS)
    if isinstance(value, list):
        return [_bounded_value("", one) for one in value[:_MOST_PLACES]]
    return value


def first_line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]


def _codes(root: type[TaktError]) -> dict[str, type[TaktError]]:
    found = {root.code: root} if "code" in vars(root) else {}
    for child in root.__subclasses__():
        found |= _codes(child)
    return found


_BY_CODE = _codes(TaktError)


def from_wire(code: str, detail: str) -> TaktError:
    """The error that another process raised; an unknown code (a newer worker's) becomes a TaktError."""
    return _BY_CODE.get(code, TaktError)(detail)
