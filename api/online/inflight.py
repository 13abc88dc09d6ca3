"""A gateway's in-flight requests on the online lane. No I/O; time is passed in.

A request has a single part, or several if it exceeds a batch. It ends once: with the answer to its last part,
with its first failed part, at its deadline, or when its client disconnects. Later answers are ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Protocol, TypeAlias

from msgspec import Struct

from api.http.request_bodies import ClientLeftError
from shared.errors import MessageUnreadableError, ServiceError, from_wire
from shared.keys import ModelKey
from shared.messages import AnswerColumn, Column, EntryAnswer, Reply
from shared.output_columns import OutputDtypes, joined_column

Left: TypeAlias = Callable[[], bool]
"""Returns whether the client of a request has disconnected."""


class Answered(Struct, frozen=True):  # made for each request, ten times as fast as a frozen dataclass
    """The complete answer to a request: a column for each output of the spec, and the worker's times."""

    columns: Sequence[AnswerColumn]
    worker: str
    batch_rows: int  # rows of the largest batch that contained a part of the request
    queue_ms: float
    batch_ms: float
    predict_ms: float


class ResultListener(Protocol):
    """Receives the outcome of a request, once: a future, or a `FastPathRequest`."""

    def done(self) -> bool:
        """Whether the outcome is no longer needed."""
        ...

    def set_result(self, answered: Answered, /) -> None: ...

    def set_exception(self, error: Exception, /) -> None: ...


class InflightRequest(Struct, eq=False):
    """A waiting request. `entry_ids`: the stream id of each written and unanswered part."""

    id: int
    key: ModelKey
    parts: list[list[Column]]
    part_rows: list[int]
    since_s: float
    deadline_s: float
    left: Left
    outcome: ResultListener
    request_id: str = ""
    traceparent: str = ""  # of its span; empty: not recorded
    owner: str = ""  # name of its API key; empty: not counted by owner
    rows: int = 0  # of all parts
    output_dtypes: OutputDtypes = ()  # empty: its outputs are plain values
    entry_ids: dict[int, bytes] = {}
    answers: dict[int, tuple[EntryAnswer, Reply]] = {}

    def budget_ms(self, now_s: float) -> int:
        return max(0, round((self.deadline_s - now_s) * 1000))


class InflightRequests:
    """The waiting requests by id; the only owner of their state."""

    def __init__(self) -> None:
        self._requests: dict[int, InflightRequest] = {}
        self._ids = count(1)
        self._rows: Counter[ModelKey] = Counter()
        self._entries: Counter[ModelKey] = Counter()
        self._owners: dict[str, Counter[ModelKey]] = {}
        """Waiting rows by owner and model version, without zeros."""
        self.rows = 0
        """Waiting rows of all models."""
        self.on_answer: Callable[[InflightRequest, Answered], None] | None = None
        """Called with each request that was answered, after its outcome is set."""

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[InflightRequest]:
        return iter(list(self._requests.values()))

    def rows_of(self, key: ModelKey) -> int:
        return self._rows[key]

    def owner_rows_of(self, owner: str, key: ModelKey) -> int:
        rows = self._owners.get(owner)
        return rows[key] if rows else 0

    def owner_rows(self, owner: str) -> int:
        """The owner's waiting rows of all models."""
        rows = self._owners.get(owner)
        return rows.total() if rows else 0

    def entries_of(self, key: ModelKey) -> int:
        return self._entries[key]

    def open(
        self,
        key: ModelKey,
        parts: list[list[Column]],
        part_rows: list[int],
        *,
        outcome: ResultListener,
        since_s: float,
        deadline_s: float,
        left: Left,
        request_id: str = "",
        traceparent: str = "",
        owner: str = "",
        output_dtypes: OutputDtypes = (),
    ) -> InflightRequest:
        request = InflightRequest(
            next(self._ids),
            key,
            parts,
            part_rows,
            since_s,
            deadline_s,
            left,
            outcome,
            request_id,
            traceparent,
            owner,
            sum(part_rows),
            output_dtypes,
        )
        self._requests[request.id] = request
        self._count(request, 1)
        return request

    def holds(self, request: InflightRequest) -> bool:
        return request.id in self._requests

    def settle(self, reply: Reply) -> list[InflightRequest]:
        """Record a reply's answers. → requests that failed with parts still in the stream"""
        ended: list[InflightRequest] = []
        for answer in reply.answers:
            request = self._requests.get(answer.id)
            if request is None or answer.part >= len(request.parts) or answer.part in request.answers:
                continue
            request.entry_ids.pop(answer.part, None)
            request.answers[answer.part] = (answer, reply)
            if answer.failure is not None:
                self.fail(request, from_wire(answer.failure.code, answer.failure.detail))
                ended.append(request)
            elif len(request.answers) == len(request.parts):
                self._answer(request)
        return ended

    def fail(self, request: InflightRequest, error: Exception) -> None:
        """End a request with an error. No effect on an ended request."""
        if not self.holds(request):
            return
        self._close(request)
        if not request.outcome.done():
            request.outcome.set_exception(error)

    def sweep(self, now_s: float, overdue: Callable[[], ServiceError]) -> list[InflightRequest]:
        """Fail requests that are past their deadline or no longer needed. → those requests"""
        ended: list[InflightRequest] = []
        for request in self:
            if now_s >= request.deadline_s:
                self.fail(request, overdue())
            elif request.outcome.done() or request.left():
                self.fail(request, ClientLeftError())
            else:
                continue
            ended.append(request)
        return ended

    def _answer(self, request: InflightRequest) -> None:
        try:
            answered = joined(request)
        except ValueError:  # two workers returned different outputs
            self.fail(request, MessageUnreadableError("The parts of the answer have different outputs."))
            return
        self._close(request)
        if not request.outcome.done():
            request.outcome.set_result(answered)
        if self.on_answer is not None:
            self.on_answer(request, answered)

    def _close(self, request: InflightRequest) -> None:
        del self._requests[request.id]
        self._count(request, -1)

    def _count(self, request: InflightRequest, sign: int) -> None:
        key, rows = request.key, sign * request.rows
        self.rows += rows
        self._rows[key] += rows
        if request.owner:
            self._count_owner(request.owner, key, rows)
        self._entries[key] += sign * len(request.parts)

    def _count_owner(self, owner: str, key: ModelKey, rows: int) -> None:
        of_owner = self._owners.get(owner)
        if of_owner is None:
            of_owner = self._owners[owner] = Counter()
        of_owner[key] += rows
        if not of_owner[key]:
            del of_owner[key]
            if not of_owner:
                del self._owners[owner]


def joined(request: InflightRequest) -> Answered:
    """Join the answers to all parts of a request, in the order of its rows."""
    answers = [request.answers[part] for part in range(len(request.parts))]
    if len(answers) == 1:
        answer, reply = answers[0]
        return _answered(answer.columns or [], answer, reply, reply.batch_rows)
    pieces = [answer.columns or [] for answer, _ in answers]
    dtypes = request.output_dtypes or [None] * len(pieces[0])
    columns = [
        joined_column(column, dtype) for column, dtype in zip(zip(*pieces, strict=True), dtypes, strict=True)
    ]
    last = max(answers, key=lambda pair: pair[0].queue_ms)
    return _answered(columns, *last, max(reply.batch_rows for _, reply in answers))


def _answered(columns: Sequence[AnswerColumn], last: EntryAnswer, reply: Reply, batch_rows: int) -> Answered:
    return Answered(
        columns=columns,
        worker=reply.worker,
        batch_rows=batch_rows,
        queue_ms=last.queue_ms,
        batch_ms=reply.batch_ms,
        predict_ms=reply.predict_ms,
    )
