"""Formats of error bodies, and which of them a request gets.

    Takt's own             {"error": code, "detail": …, "request_id": …}      the default
    RFC 9457               application/problem+json                          if `Accept` lists it
    inference protocol     {"error": sentence, "parameters": {"code": …}}     under /v2
    MLflow                 {"error_code": …, "message": …}                   at /invocations

Clients of the last two protocols show the sentence to their users, and most of them read nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

from msgspec.json import encode

from api.http.headers import field_of
from shared.input_problems import InputProblem
from shared.safe_texts import bounded

JSON, PROBLEM_JSON = b"application/json", b"application/problem+json"
MOST_PROBLEMS_IN_SENTENCE = 3
Json: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class ErrorContent:
    """The content of an error body, in any format."""

    status: int
    code: str
    detail: str | list[InputProblem]
    request_id: str

    @property
    def sentence(self) -> str:
        """The detail as a text: the first problems with their row and field."""
        if isinstance(self.detail, str):
            return self.detail
        shown = [_problem_text(problem) for problem in self.detail[:MOST_PROBLEMS_IN_SENTENCE]]
        more = len(self.detail) - len(shown)
        return bounded(" ".join([*shown, f"{more} more problem(s)."] if more else shown))


@dataclass(frozen=True)
class ErrorFormat:
    """A format of error bodies. `statuses`: HTTP statuses that its clients expect instead of Takt's."""

    body: Callable[[ErrorContent], Json]
    media_type: bytes = JSON
    statuses: Mapping[int, int] | None = None

    def status(self, content: ErrorContent) -> int:
        return (self.statuses or {}).get(content.status, content.status)

    def encode(self, content: ErrorContent) -> bytes:
        return encode(self.body(content))


def _takt(content: ErrorContent) -> Json:
    return {"error": content.code, "detail": content.detail, "request_id": content.request_id}


def _problem(content: ErrorContent) -> Json:
    listed = {} if isinstance(content.detail, str) else {"problems": content.detail}
    return {
        "type": f"urn:takt:error:{content.code}",
        "title": HTTPStatus(content.status).phrase,
        "status": content.status,
        "detail": content.sentence,
        "code": content.code,
        "request_id": content.request_id,
        **listed,
    }


def _inference(content: ErrorContent) -> Json:
    parameters = {"code": content.code, "request_id": content.request_id}
    return {"error": content.sentence, "parameters": parameters}


def _mlflow(content: ErrorContent) -> Json:
    code = _MLFLOW_CODES.get(content.status, "INTERNAL_ERROR")
    return {"error_code": code, "message": content.sentence, "request_id": content.request_id}


_MLFLOW_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "BAD_REQUEST",
    408: "BAD_REQUEST",
    413: "BAD_REQUEST",
    415: "BAD_REQUEST",
    422: "BAD_REQUEST",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_INVALID_IS_400 = {422: 400}
TAKT = ErrorFormat(_takt)
PROBLEM = ErrorFormat(_problem, PROBLEM_JSON)
INFERENCE = ErrorFormat(_inference, statuses=_INVALID_IS_400)
MLFLOW = ErrorFormat(_mlflow, statuses=_INVALID_IS_400)
_ACCEPTS_PROBLEM = re.compile(
    rb"(?:^|,)\s*application/problem\+json\s*(?:;(?!\s*q=0(?:\.0*)?\s*(?:,|$))|,|$)", re.I
)


def format_of(path: str, headers: Iterable[tuple[bytes, bytes]]) -> ErrorFormat:
    """The format of the errors of a request."""
    accept = field_of(headers, b"accept")
    if accept is not None and _ACCEPTS_PROBLEM.search(accept):
        return PROBLEM
    if path == "/v2" or path.startswith("/v2/"):
        return INFERENCE
    if path == "/invocations" or path.endswith("/invocations"):
        return MLFLOW
    return TAKT


def _problem_text(problem: InputProblem) -> str:
    row, field, message = problem["row"], problem["field"], str(problem["msg"])
    place = [f"row {row}"] if row is not None else []
    if field is not None:
        place.append(f"{'field' if row is None else 'input'} {field!r}")
    text = f"{', '.join(place)}: {message}" if place else message
    return text[:1].upper() + text[1:].rstrip(".") + "."
