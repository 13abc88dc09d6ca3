"""What crosses the online lane stays readable: the bytes of schema 1, kept as they were written."""

from __future__ import annotations

import pytest

from shared import messages
from shared.messages import SCHEMA, Answer, Entry, Failure, Reply, UnreadableMessage

ENTRY = Entry(SCHEMA, "gw:1", 7, 0, 9_500, 2, [b"\x00" * 16, ["a", None]], "req-1", "00-ab-cd-01")
ENTRY_BYTES = bytes.fromhex(
    "9901a467773a310700cd251c0292c410" + "00" * 16 + "92a161c0a57265712d31ab30302d61622d63642d3031"
)
REPLY = Reply(
    SCHEMA,
    "w:1",
    2,
    0.5,
    1.5,
    [Answer(7, 0, 0.25, [["setosa"]]), Answer(8, 0, 0.25, None, Failure("c", "d"))],
)


def test_an_entry_of_schema_1_is_written_as_it_always_was() -> None:
    assert messages.encode(ENTRY) == ENTRY_BYTES


def test_an_entry_of_schema_1_is_read_as_it_always_was() -> None:
    assert messages.decode_entry(ENTRY_BYTES) == ENTRY


def test_an_entry_without_the_later_fields_is_read() -> None:
    shorter = b"\x97" + ENTRY_BYTES[1 : -len("\xa5req-1\xab00-ab-cd-01")]
    assert messages.decode_entry(shorter) == Entry(
        SCHEMA, "gw:1", 7, 0, 9_500, 2, [b"\x00" * 16, ["a", None]]
    )


def test_a_reply_survives_the_wire() -> None:
    assert messages.decode_reply(messages.encode(REPLY)) == REPLY


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x80", b"not msgpack", ENTRY_BYTES[:-3], b"\x99\x02" + ENTRY_BYTES[2:]]
)
def test_a_message_that_is_corrupt_or_of_another_schema_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        messages.decode_entry(data)
