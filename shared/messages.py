"""Messages of the online lane: an `Entry` to a worker, a `Reply` back. MessagePack, never pickle.

    gateway ── Entry ─▶ takt:online:{model}@{version} ─▶ engine ── Reply ─▶ takt:reply:{gateway} ─▶ gateway

A message is an array that begins with the schema version. New fields are only appended, with a default: a
worker of schema N+1 reads messages of schema N, and unknown fields are ignored. Messages of every schema
begin with the same fields, so that an unreadable message can still be answered with an error. Host clocks are
not trusted: an entry carries the remaining time budget at sending, and its stream id carries Redis' own time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from shared.errors import MessageUnreadableError

SCHEMA: Final = 1
"""The schema version that this process writes."""
OLDEST: Final = 1
"""The oldest schema version that this process reads."""

FIELD: Final = b"m"
"""The field of a stream entry that contains the message."""
ROWS: Final = b"r"
"""The field of an online entry with its number of rows, so that a script can plan a batch."""

Column: TypeAlias = bytes | list[Any]
"""An input of all rows: fixed-width values as little-endian bytes, others as a list of texts, integers,
booleans, files or nulls (see `shared/columns.py`)."""
OutputColumn: TypeAlias = list[object]
"""An output of all rows, as plain values."""
AnswerColumn: TypeAlias = bytes | OutputColumn
"""An output of all rows in an answer: bytes only if the entry has `binary_outputs`."""


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The rows of a request for a model version: at most a batch."""

    schema: int
    gateway: str  # destination of the answer: `{name}:{boot}`
    id: int  # of the request, unique in that gateway's life
    part: int  # index of this part of a split request
    budget_ms: int  # remaining time until the deadline when this was sent
    rows: int
    columns: list[Column]  # in the order of the spec's inputs
    request_id: str = ""  # the client's X-Request-ID, for logs
    traceparent: str = ""  # of the request's span, if it is recorded
    identity: bytes = b""  # spec and artifact of the gateway, see `shared/model_identity.py`; empty: any
    binary_outputs: bool = (
        False  # fixed-width outputs may be answered as bytes, see `shared/output_columns.py`
    )


class EntryFailure(msgspec.Struct, array_like=True, frozen=True):
    """Why these rows have no answer: code and detail of an error of `shared/errors.py`."""

    code: str
    detail: str


class EntryAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The answer of an entry: columns or a failure."""

    id: int
    part: int
    queue_ms: float  # from XADD until the engine read the entry, by Redis' clock
    columns: Sequence[AnswerColumn] | None  # in the order of the spec's outputs
    failure: EntryFailure | None = None


class Reply(msgspec.Struct, array_like=True, frozen=True):
    """All answers of a batch to a gateway."""

    schema: int
    worker: str
    batch_rows: int  # rows of the whole batch, including other gateways'
    batch_ms: float  # duration of forming it: decode, concatenate
    predict_ms: float  # duration of the model call
    answers: list[EntryAnswer]


class _EntryHead(msgspec.Struct, array_like=True, frozen=True):
    """The first fields of an entry of any schema version."""

    schema: int
    gateway: str
    id: int
    part: int


class _AnswerHead(msgspec.Struct, array_like=True, frozen=True):
    id: int
    part: int


class _ReplyHead(msgspec.Struct, array_like=True, frozen=True):
    """The first fields of a reply of any schema version."""

    schema: int
    worker: str
    batch_rows: int
    batch_ms: float
    predict_ms: float
    answers: list[_AnswerHead]


_Head = TypeVar("_Head", _EntryHead, _ReplyHead)

_entry = msgspec.msgpack.Decoder(Entry)
_reply = msgspec.msgpack.Decoder(Reply)
_entry_head = msgspec.msgpack.Decoder(_EntryHead)
_reply_head = msgspec.msgpack.Decoder(_ReplyHead)
_encoder = msgspec.msgpack.Encoder()
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class UnreadableMessageError(ValueError):
    """The message is corrupt or of a schema version that this process does not read."""


def encode(message: Entry | Reply) -> bytes:
    return _encoder.encode(message)


def decode_entry(data: bytes) -> Entry:
    """Raises UnreadableMessageError."""
    try:
        entry = _entry.decode(data)
    except _MALFORMED as error:
        raise UnreadableMessageError(_why(error, _head(_entry_head, data))) from error
    _check_schema(entry.schema)
    if entry.rows < 1 or entry.part < 0:
        raise UnreadableMessageError(f"an entry of {entry.rows} rows, part {entry.part}")
    return entry


def decode_reply(data: bytes) -> Reply:
    """Raises UnreadableMessageError."""
    try:
        reply = _reply.decode(data)
    except _MALFORMED as error:
        raise UnreadableMessageError(_why(error, _head(_reply_head, data))) from error
    _check_schema(reply.schema)
    if any((answer.columns is None) is (answer.failure is None) for answer in reply.answers):
        raise UnreadableMessageError("an answer with neither columns nor a failure, or with both")
    return reply


def refusal_of_entry(data: bytes, reason: str) -> tuple[str, EntryAnswer] | None:
    """The gateway of an unreadable entry, and the answer to it; None if the gateway is unknown."""
    head = _head(_entry_head, data)
    return None if head is None else (head.gateway, _refused(head.id, head.part, reason))


def refusal_of_reply(data: bytes, reason: str) -> Reply | None:
    """A reply that fails the requests of an unreadable reply; None if its requests are unknown."""
    head = _head(_reply_head, data)
    if head is None:
        return None
    answers = [_refused(answer.id, answer.part, reason) for answer in head.answers]
    return Reply(SCHEMA, head.worker, head.batch_rows, head.batch_ms, head.predict_ms, answers)


def _refused(request: int, part: int, reason: str) -> EntryAnswer:
    return EntryAnswer(request, part, 0.0, None, EntryFailure(MessageUnreadableError.code, reason))


def _head(decoder: msgspec.msgpack.Decoder[_Head], data: bytes) -> _Head | None:
    try:
        return decoder.decode(data)
    except _MALFORMED:
        return None


def _check_schema(schema: int) -> None:
    if not OLDEST <= schema <= SCHEMA:
        raise UnreadableMessageError(f"schema version {schema}; {OLDEST} to {SCHEMA} are read here")


def _why(error: Exception, head: _EntryHead | _ReplyHead | None) -> str:
    """The reason of a decoding error: another schema version, if that is the cause."""
    if head is not None:
        _check_schema(head.schema)
    return str(error)
