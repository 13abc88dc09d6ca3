"""Messages of the online lane stay readable: recorded bytes of schema 1 are decoded."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import messages
from shared.messages import SCHEMA, Entry, EntryAnswer, EntryFailure, Reply, UnreadableMessageError

ENTRY = Entry(
    SCHEMA, "gw:1", 7, 0, 9_500, 2, [b"\x00" * 16, ["a", None]], "req-1", "00-ab-cd-01", b"\x11\x22"
)
ENTRY_BYTES = bytes.fromhex(
    "9b01a467773a310700cd251c0292c410" + "00" * 16 + "92a161c0a57265712d31ab30302d61622d63642d3031c4021122c2"
)
BEFORE_BINARY_OUTPUTS = b"\x9a" + ENTRY_BYTES[1:-1]
"""As written by a gateway that requests no outputs in binary."""
BEFORE_IDENTITY = b"\x99" + ENTRY_BYTES[1 : -len("\xc4\x02\x11\x22\xc2")]
"""As written by a gateway that sends no identity."""
REPLY = Reply(
    SCHEMA,
    "w:1",
    2,
    0.5,
    1.5,
    [EntryAnswer(7, 0, 0.25, [["setosa"]]), EntryAnswer(8, 0, 0.25, None, EntryFailure("c", "d"))],
)


def test_an_entry_of_schema_1_is_written_as_it_always_was() -> None:
    assert messages.encode(ENTRY) == ENTRY_BYTES


def test_an_entry_of_schema_1_is_read_as_it_always_was() -> None:
    assert messages.decode_entry(ENTRY_BYTES) == ENTRY


def test_an_entry_without_the_later_fields_is_read() -> None:
    shorter = b"\x97" + BEFORE_IDENTITY[1 : -len("\xa5req-1\xab00-ab-cd-01")]
    assert messages.decode_entry(shorter) == Entry(
        SCHEMA, "gw:1", 7, 0, 9_500, 2, [b"\x00" * 16, ["a", None]]
    )


def test_an_entry_of_a_gateway_that_sends_no_identity_is_read() -> None:
    assert messages.decode_entry(BEFORE_IDENTITY) == msgspec.structs.replace(ENTRY, identity=b"")


def test_an_entry_of_a_gateway_that_takes_no_binary_outputs_is_read() -> None:
    assert messages.decode_entry(BEFORE_BINARY_OUTPUTS) == ENTRY
    assert not ENTRY.binary_outputs


def test_a_worker_that_knows_no_binary_outputs_reads_an_entry_that_asks_for_them() -> None:
    asking = messages.encode(msgspec.structs.replace(ENTRY, binary_outputs=True))
    known = msgspec.defstruct(
        "EntryOfBefore",
        [(field.name, field.type) for field in msgspec.structs.fields(Entry)[:-1]],
        array_like=True,
    )
    read = msgspec.msgpack.decode(asking, type=known)
    assert [*msgspec.structs.astuple(read), False] == [*msgspec.structs.astuple(ENTRY)]


def test_a_reply_survives_the_wire() -> None:
    assert messages.decode_reply(messages.encode(REPLY)) == REPLY


def test_values_of_an_answer_keep_their_types_on_the_wire() -> None:
    columns: list[list[object]] = [[2**63 - 1, -(2**63)], [1.0, 0.1], [True, False], ["가", None], [[1, 2]]]
    reply = msgspec.structs.replace(REPLY, answers=[EntryAnswer(7, 0, 0.25, columns)])
    (answer,) = messages.decode_reply(messages.encode(reply)).answers
    assert answer.columns is not None
    assert [[type(v) for v in column] for column in answer.columns] == [[type(v) for v in c] for c in columns]
    assert answer.columns == columns


def test_an_output_in_binary_is_bytes_beside_plain_values() -> None:
    reply = msgspec.structs.replace(REPLY, answers=[EntryAnswer(7, 0, 0.25, [b"\0" * 16, ["a", "b"]])])
    assert messages.decode_reply(messages.encode(reply)) == reply


def test_fields_that_a_newer_takt_appends_are_passed_over() -> None:
    assert messages.decode_entry(b"\x9c" + ENTRY_BYTES[1:] + b"\xa5later") == ENTRY


def test_whoever_waits_for_an_entry_of_another_schema_is_known() -> None:
    newer = b"\x9b\x02" + ENTRY_BYTES[2:]
    with pytest.raises(UnreadableMessageError, match="schema version 2; 1 to 1 are read here"):
        messages.decode_entry(newer)
    laid_out_otherwise = msgspec.msgpack.encode([2, "gw:1", 7, 3, {"rows": "of another kind"}])
    with pytest.raises(UnreadableMessageError, match="schema version 2"):
        messages.decode_entry(laid_out_otherwise)
    found = messages.refusal_of_entry(laid_out_otherwise, "why")
    assert found is not None
    gateway, answer = found
    assert (gateway, answer.id, answer.part) == ("gw:1", 7, 3)
    assert answer.failure == EntryFailure("message_unreadable", "why")


def test_a_reply_that_cannot_be_read_fails_the_requests_that_it_names() -> None:
    newer = msgspec.msgpack.encode([2, "w:1", 2, 0.5, 1.5, [[7, 0, "?"], [8, 1]], "more"])
    with pytest.raises(UnreadableMessageError, match="schema version 2"):
        messages.decode_reply(newer)
    refusal = messages.refusal_of_reply(newer, "why")
    assert refusal is not None
    assert [(a.id, a.part, a.failure) for a in refusal.answers] == [
        (7, 0, EntryFailure("message_unreadable", "why")),
        (8, 1, EntryFailure("message_unreadable", "why")),
    ]
    assert messages.refusal_of_reply(b"\xc1", "why") is None


def test_an_answer_must_hold_columns_or_a_failure() -> None:
    hollow = messages.encode(msgspec.structs.replace(REPLY, answers=[EntryAnswer(7, 0, 0.25, None)]))
    with pytest.raises(UnreadableMessageError, match="neither"):
        messages.decode_reply(hollow)


@pytest.mark.parametrize("changes", [{"rows": 0}, {"rows": -3}, {"part": -1}])
def test_an_entry_of_impossible_numbers_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(UnreadableMessageError):
        messages.decode_entry(messages.encode(msgspec.structs.replace(ENTRY, **changes)))


@given(data=st.binary(max_size=200) | st.integers(0, len(ENTRY_BYTES)).map(lambda n: ENTRY_BYTES[:n]))
def test_no_bytes_break_a_reader_of_messages(data: bytes) -> None:
    for decode in (messages.decode_entry, messages.decode_reply):
        with contextlib.suppress(UnreadableMessageError):
            decode(data)
    messages.refusal_of_entry(data, "")
    messages.refusal_of_reply(data, "")


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x80", b"not msgpack", ENTRY_BYTES[:-3], b"\x99\x02" + ENTRY_BYTES[2:]]
)
def test_a_message_that_is_corrupt_or_of_another_schema_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableMessageError):
        messages.decode_entry(data)


def test_no_script_spells_a_field_of_an_entry() -> None:
    """The fields are passed in, so that a field renamed here is renamed everywhere."""
    folders = [Path(__file__).parents[3] / part for part in ("api", "worker", "shared")]
    scripts = [script for folder in folders for script in folder.rglob("*.lua")]
    assert len(scripts) > 20
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        for field in (messages.FIELD, messages.ROWS):
            name = field.decode()
            assert f"'{name}'" not in text, script
            assert f'"{name}"' not in text, script
