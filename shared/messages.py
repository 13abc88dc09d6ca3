"""What crosses the online lane: one `Entry` to a worker, one `Reply` back. MessagePack, never pickle.

    gateway ── Entry ─▶ takt:online:{model}@{version} ─▶ engine ── Reply ─▶ takt:reply:{gateway} ─▶ gateway

A message is an array whose first element is the schema version. Fields are only ever appended, with a
default, so that a worker of schema N+1 reads what a gateway of schema N wrote. Clocks are not trusted: an
entry carries the budget that remained when it was sent, and its stream id carries Redis' own time.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

SCHEMA: Final = 1

FIELD: Final = b"m"
"""The one field of a stream entry that holds a message."""
ROWS: Final = b"r"
"""The field of an online entry that says how many rows it holds, so that a script can plan a batch."""

Column: TypeAlias = bytes | list[str | int | bool | None]
"""One input of all rows: fixed-width values as little-endian bytes, else a list (see `shared/columns.py`)."""
OutputColumn: TypeAlias = list[object]
"""One output of all rows, as plain values."""


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The rows of one request for one model version: at most one batch of them."""

    schema: int
    gateway: str  # where the answer goes: `{name}:{boot}`
    id: int  # the request, unique in that gateway's life
    part: int  # which part of a request that was cut
    budget_ms: int  # what remained of the deadline when this was sent
    rows: int
    columns: list[Column]  # in the order of the spec's inputs
    request_id: str = ""  # the client's X-Request-ID, for logs
    traceparent: str = ""


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """Why these rows have no answer: a code and a detail of `shared/errors.py`."""

    code: str
    detail: str


class Answer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What one entry is answered: columns or a failure."""

    id: int
    part: int
    queue_ms: float  # from XADD until the engine read it, by Redis' clock
    columns: list[OutputColumn] | None  # in the order of the spec's outputs
    failure: Failure | None = None


class Reply(msgspec.Struct, array_like=True, frozen=True):
    """All answers of one batch to one gateway."""

    schema: int
    worker: str
    batch_rows: int  # rows of the whole batch, other gateways' included
    batch_ms: float  # forming it: decode, concatenate
    predict_ms: float  # the call of the model
    answers: list[Answer]


_entry = msgspec.msgpack.Decoder(Entry)
_reply = msgspec.msgpack.Decoder(Reply)
_encoder = msgspec.msgpack.Encoder()


class UnreadableMessage(ValueError):
    """The message is corrupt or of a schema version that this process does not know."""


def encode(message: Entry | Reply) -> bytes:
    return _encoder.encode(message)


def decode_entry(data: bytes) -> Entry:
    """Raises UnreadableMessage."""
    try:
        entry = _entry.decode(data)
    except msgspec.MsgspecError as error:
        raise UnreadableMessage(str(error)) from error
    if entry.schema != SCHEMA:
        raise UnreadableMessage(f"schema version {entry.schema}; this worker reads {SCHEMA}")
    return entry


def decode_reply(data: bytes) -> Reply:
    """Raises UnreadableMessage."""
    try:
        reply = _reply.decode(data)
    except msgspec.MsgspecError as error:
        raise UnreadableMessage(str(error)) from error
    if reply.schema != SCHEMA:
        raise UnreadableMessage(f"schema version {reply.schema}; this gateway reads {SCHEMA}")
    return reply
