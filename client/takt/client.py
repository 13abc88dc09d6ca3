"""`Takt(url)`: predictions and jobs of one Takt service, over HTTP.

with Takt("http://127.0.0.1:8000") as takt:
    takt.predict({"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2})
    job = takt.submit([[5.1, 3.5, 1.4, 0.2]], model="iris")
    rows = takt.results(takt.wait(job.id).id)
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote

import httpx

from takt.errors import JobFailed, NotTakt, Refused, TaktError, TryLater, Unreachable

Json: TypeAlias = dict[str, Any]  # Any: a model's own fields
InputRow: TypeAlias = Mapping[str, Any] | Sequence[Any]
"""One input: its fields by name, or in the model's order."""

DEFAULT_URL = "http://127.0.0.1:8000"
_ENDED = {"succeeded", "failed", "canceled"}
_TRANSIENT = {429, 503, 504}
_POLL_S = (0.1, 2.0)  # the first pause and the longest, where the service names none


@dataclass(frozen=True)
class Job:
    """A job as the service last told it."""

    id: str
    state: str
    model: str
    version: str
    rows_total: int | None
    rows_succeeded: int
    rows_failed: int
    document: Json  # all that the service said

    @property
    def ended(self) -> bool:
        return self.state in _ENDED


class Takt:
    """A client of one service. Holds connections: close it, or use it as a context."""

    def __init__(
        self, url: str = DEFAULT_URL, *, timeout_s: float = 65.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        # longer than the longest wait that a gateway grants, so that the gateway's own answer comes first
        timeout = httpx.Timeout(timeout_s, connect=5.0)
        try:
            self._http = httpx.Client(base_url=url.rstrip("/"), timeout=timeout, transport=transport)
        except httpx.InvalidURL as error:
            raise Refused(f"{url} is not a URL of a service: {error}") from error
        self.url = url

    def predict(self, row: InputRow, *, model: str | None = None, version: str | None = None) -> Json:
        """The model's answer for one row; the service's default model where none is named."""
        if not isinstance(row, Mapping):  # a row without names is what the batch call takes
            return self.predict_batch([row], model=model, version=version)[0]
        answer: Json = self._call("POST", f"{_path(model, version)}/predict", row).json()
        return answer

    def predict_batch(
        self, rows: Sequence[InputRow], *, model: str | None = None, version: str | None = None
    ) -> list[Json]:
        """The answers for some rows, in their order."""
        body = {"inputs": [row if isinstance(row, Mapping) else list(row) for row in rows]}
        answer = self._call("POST", f"{_path(model, version)}/predict/batch", body).json()
        results: list[Json] = answer["results"]
        return results

    def submit(
        self,
        rows: Sequence[InputRow],
        *,
        model: str,
        version: str | None = None,
        reference: str | None = None,
    ) -> Job:
        """Queue rows as a job; returns at once."""
        inputs = [row if isinstance(row, Mapping) else list(row) for row in rows]
        body = {"model": model, "version": version, "reference": reference, "inputs": inputs}
        given = {key: value for key, value in body.items() if value is not None}
        return _job(self._call("POST", "/jobs", given).json())

    def job(self, job_id: str) -> Job:
        """How far the job is."""
        return _job(self._call("GET", f"/jobs/{quote(job_id, safe='')}").json())

    def watch(self, job_id: str) -> Iterator[Job]:
        """The job, again and again until it has ended, paced by the service's Retry-After."""
        pause_s, longest_s = _POLL_S
        while True:
            answer = self._call("GET", f"/jobs/{quote(job_id, safe='')}")
            job = _job(answer.json())
            yield job
            if job.ended:
                return
            time.sleep(_retry_after_s(answer) or pause_s)
            pause_s = min(pause_s * 1.5, longest_s)

    def wait(self, job_id: str) -> Job:
        """The job once it has succeeded. Raises JobFailed where it ended otherwise."""
        *_, job = self.watch(job_id)
        if job.state != "succeeded":
            error = job.document.get("error") or {}
            detail = error.get("detail", "") if isinstance(error, dict) else str(error)
            raise JobFailed(f"job {job.id} {job.state}{': ' + detail if detail else ''}", code=job.state)
        return job

    def results(self, job_id: str) -> list[Json]:
        """The job's results, one a row, in the order of its inputs."""
        answer = self._call("GET", f"/jobs/{quote(job_id, safe='')}/results").json()
        results: list[Json] = answer["results"]
        return results

    def health(self) -> Json:
        """What the service says of itself."""
        answer: Json = self._call("GET", "/health").json()
        return answer

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            content = None if body is None else json.dumps(body, default=_plain).encode()
            answer = self._http.request(
                method, path, content=content, headers={"Content-Type": "application/json"}
            )
        except httpx.UnsupportedProtocol as error:
            raise Refused(f"{self.url} is not a URL of a service: {error}") from error
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url} does not answer: {error or type(error).__name__}") from error
        if answer.is_success:
            return answer
        raise _error(answer)


def _plain(value: object) -> str:
    """Times as RFC 3339; json.dumps knows the rest."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a row cannot hold a {type(value).__name__}")


def _path(model: str | None, version: str | None) -> str:
    if model is None:
        return ""
    part = f"/models/{quote(model, safe='')}"
    return part if version is None else f"{part}/versions/{quote(version, safe='')}"


def _job(document: Json) -> Job:
    try:
        return Job(
            id=document["id"],
            state=document["state"],
            model=document["model"],
            version=document["version"],
            rows_total=document["rows_total"],
            rows_succeeded=document["rows_succeeded"],
            rows_failed=document["rows_failed"],
            document=document,
        )
    except (KeyError, TypeError) as error:
        raise NotTakt(f"the answer is not a job: {error} is missing") from error


def _error(answer: httpx.Response) -> TaktError:
    """The service's error document as an exception."""
    try:
        document = answer.json()
        code, detail = str(document["error"]), document["detail"]
    except (ValueError, KeyError, TypeError):
        return NotTakt(
            f"{answer.url} answered {answer.status_code}, but not as Takt does", status=answer.status_code
        )
    words = detail if isinstance(detail, str) else "; ".join(map(_problem, detail))
    kind = TryLater if answer.status_code in _TRANSIENT else Refused
    error = kind(words, code=code, status=answer.status_code, request_id=str(document.get("request_id", "")))
    if isinstance(error, TryLater):
        error.retry_after_s = _retry_after_s(answer)
    return error


def _problem(problem: object) -> str:
    """`row 3, sepal_length: Input should be a valid number`, of one entry of a validation error."""
    if not isinstance(problem, dict):
        return str(problem)
    row, field = problem.get("row"), problem.get("field")
    where = ", ".join([*([f"row {row}"] if row is not None else []), *([str(field)] if field else [])])
    return f"{where}: {problem.get('msg', '')}" if where else str(problem.get("msg", problem))


def _retry_after_s(answer: httpx.Response) -> float | None:
    try:
        return float(answer.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
