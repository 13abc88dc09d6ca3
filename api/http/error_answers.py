"""Error responses: the models of Takt's own error bodies, the headers of an error, and the error for any
exception.

    {"error": code, "detail": text or list of problems, "request_id": id}

`shared/errors.py` defines the codes, `api/http/error_status.py` their statuses, `api/http/error_formats.py`
all formats of bodies. Unexpected exceptions become `internal_error`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from api.http.error_formats import TAKT, ErrorContent, ErrorFormat
from api.http.error_status import STATUS, status_of
from api.http.security_headers import BROWSER_HEADERS
from shared.connections import means_away
from shared.errors import (
    InvalidInputError,
    OperatorError,
    PayloadStoreAwayError,
    QueueUnavailableError,
    ServiceError,
    StorageFullError,
    UnauthorizedError,
    UnsupportedCodingError,
)
from shared.input_problems import MOST_PROBLEMS, InputProblem
from shared.safe_texts import bounded
from shared.tabular.content_types import ACCEPTED_CODINGS
from shared.tabular.free_memory import out_of_memory

log = structlog.get_logger()

RETRY_AFTER_S = 2.0
"""`Retry-After` if Redis does not answer."""
STOPPING_RETRY_S = 1.0
"""`Retry-After` if the gateway shuts down."""

CHALLENGE = 'Bearer realm="takt"'
"""`WWW-Authenticate` of a 401."""
_OF_HTTP = {404: "not_found", 405: "method_not_allowed"}
Headers = list[tuple[bytes, bytes]]


DETAIL_TYPES: Mapping[str, type[str] | type[list[InputProblem]]] = {
    code: list if code == InvalidInputError.code else str for code in STATUS
}
"""Type of `detail` by error code: a list of problems for `validation_error`, otherwise a text.

The `error.detail` of a job and the `error` of a row are always texts.
"""


class ErrorBody(BaseModel):
    """The body of every error except 422."""

    error: str
    detail: str = Field(description="At most 2000 characters")
    request_id: str


class ProblemBody(BaseModel):
    """A problem with a request. If there are too many, the last entry counts the rest (`more_problems`)."""

    model_config = ConfigDict(extra="allow")

    row: int | None = Field(description="Index of the row, from 0")
    field: str | None
    loc: list[int | str] = Field(description="Path to the value in the request")
    msg: str
    type: str


class InvalidInputBody(BaseModel):
    """The body of a 422."""

    error: str
    detail: list[ProblemBody] = Field(
        description=f"1 to {MOST_PROBLEMS} problems, and an entry that counts the rest if there are more"
    )
    request_id: str


def body_of(status: int) -> type[BaseModel]:
    """The model of the body of an error with this status."""
    return InvalidInputBody if status == STATUS[InvalidInputError.code] else ErrorBody


def of_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for these statuses. The description lists the error codes of each status."""
    return {
        status: {
            "model": body_of(status),
            "description": " · ".join(code for code, of_code in STATUS.items() if of_code == status),
        }
        for status in sorted(statuses)
    }


def is_full(error: BaseException) -> bool:
    """Whether the error means that the payload store has no space left."""
    return isinstance(error, PayloadStoreAwayError) and error.full


def foreseen(error: Exception) -> ServiceError | HTTPException:
    """The error to send to the client for any exception. Logs installation errors and bugs."""
    match error:
        case OperatorError():
            # clients get no detail, because it may contain file paths
            log.error("installation_error", code=error.code, reason=error.detail)
            return StorageFullError() if is_full(error) else type(error)()
        case HTTPException(status_code=400):  # the framework could not decode a body
            return InvalidInputError(error.detail)
        case ServiceError() | HTTPException():
            return error
        case _:
            return _unforeseen(error)


def _unforeseen(error: Exception) -> ServiceError:
    match error:
        case MemoryError():
            log.error("gateway_out_of_memory", error=type(error).__name__)
            return out_of_memory()
        case RedisError() if means_away(error):
            log.warning("queue_failed", error=type(error).__name__)
            return unavailable()
        case _:
            log.error("request_failed", exc_info=error)
            return ServiceError("Internal error in the gateway. The gateway's log has the details.")


def answer_of(
    error: ServiceError | HTTPException, request_id: str, form: ErrorFormat = TAKT
) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an error response, without the media type of `form`."""
    content = content_of(error, request_id)
    headers = _headers_of_http(error) if isinstance(error, HTTPException) else _headers_of(error)
    return form.status(content), headers, form.encode(content)


def content_of(error: ServiceError | HTTPException, request_id: str) -> ErrorContent:
    """The content of the response to an error, in any format."""
    if isinstance(error, HTTPException):
        return _content_of_http(error, request_id)
    detail = error.listed() if isinstance(error, InvalidInputError) else bounded(error.detail)
    return ErrorContent(status_of(error.code), error.code, detail, request_id)


def _headers_of(error: ServiceError) -> Headers:
    headers: Headers = [*BROWSER_HEADERS]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(math.ceil(error.retry_after_s)).encode()))
    if isinstance(error, UnsupportedCodingError):
        headers.append((b"accept-encoding", ACCEPTED_CODINGS.encode()))
    if isinstance(error, UnauthorizedError):
        headers.append((b"www-authenticate", CHALLENGE.encode()))
    if status_of(error.code) == 408:  # the rest of the body is unread
        headers.append((b"connection", b"close"))
    return headers


def _content_of_http(error: HTTPException, request_id: str) -> ErrorContent:
    code = _OF_HTTP.get(error.status_code) or HTTPStatus(error.status_code).name.lower()
    return ErrorContent(error.status_code, code, bounded(error.detail), request_id)


def _headers_of_http(error: HTTPException) -> Headers:
    own = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    return [*BROWSER_HEADERS, *own]


def unavailable(detail: str | None = None) -> QueueUnavailableError:
    return QueueUnavailableError(detail, retry_after_s=RETRY_AFTER_S)


def stopping() -> QueueUnavailableError:
    """The error of requests that the gateway cannot answer before it exits."""
    return QueueUnavailableError(
        "This gateway is shutting down; retry the request.", retry_after_s=STOPPING_RETRY_S
    )
