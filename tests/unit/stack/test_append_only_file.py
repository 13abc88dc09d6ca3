"""Repair of an append-only file after a power cut: the tail that is cut off, the prefix that is loaded."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.append_only_file import FOLDER, Cut, cut_off, torn_tails, whole_commands
from stack.command_errors import CommandError
from tests.support.servers import Server, valkey_binary

AT = datetime(2026, 12, 1, 4, 5, 6, tzinfo=UTC)
NAME = "appendonly.aof.1.incr.aof"
MANIFEST = f"file appendonly.aof.1.base.rdb seq 1 type b\nfile {NAME} seq 1 type i\n"


def command(*words: str | bytes) -> bytes:
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


SELECT, SET = command("SELECT", "0"), command("SET", "k", b"\0\r\n*1\r\n")
TRANSACTION = command("MULTI") + SET + SET + command("EXEC")
WHOLE = b"#TS:1764561906\r\n" + SELECT + SET + TRANSACTION


def folder_of(tmp_path: Path, *texts: bytes) -> Path:
    """Make a server's data folder with these files of commands."""
    names = [f"appendonly.aof.{number}.incr.aof" for number, _ in enumerate(texts, 1)]
    (tmp_path / FOLDER).mkdir()
    for name, text in zip(names, texts, strict=True):
        (tmp_path / FOLDER / name).write_bytes(text)
    lines = [f"file {name} seq {number} type i" for number, name in enumerate(names, 1)]
    (tmp_path / FOLDER / "appendonly.aof.manifest").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_complete_file_is_unchanged(tmp_path: Path) -> None:
    assert torn_tails(folder_of(tmp_path, WHOLE)) == []
    assert torn_tails(tmp_path / "nowhere") == []


@pytest.mark.parametrize("zeros", [0, 1, 2, 4096, 2**21])
@pytest.mark.parametrize("lost", [1, 2, 3, 5, 17])
def test_a_tail_that_is_cut_short_or_ends_in_zeros_is_cut_to_the_last_whole_command(
    tmp_path: Path, lost: int, zeros: int
) -> None:
    torn = WHOLE + SET[:-lost] + bytes(zeros)
    data = folder_of(tmp_path, torn)
    (cut,) = torn_tails(data)
    assert cut == Cut(data / FOLDER / NAME, len(WHOLE), len(torn) - len(WHOLE))
    aside = cut_off(data, [cut], AT)
    assert (data / FOLDER / NAME).read_bytes() == WHOLE
    assert (aside / NAME).read_bytes() == torn
    assert aside.name == "appendonlydir.torn-20261201T040506"
    assert torn_tails(data) == []


@pytest.mark.parametrize("lost", [2, 5])
def test_of_a_large_file_only_the_end_is_looked_at_until_that_is_torn(
    tmp_path: Path, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.append_only_file._LARGE_BYTES", 1)
    data = folder_of(tmp_path, WHOLE + SET[:-lost])
    assert bool(torn_tails(data)) is (lost == 5)  # the other ends as a line does, and the server cuts it


def test_a_transaction_without_its_end_is_cut_as_a_whole(tmp_path: Path) -> None:
    before = SELECT + SET
    data = folder_of(tmp_path, before + TRANSACTION[: -len(command("EXEC"))] + bytes(9))
    (cut,) = torn_tails(data)
    assert cut.keep_bytes == len(before)


def test_files_after_a_truncated_file_are_cut_too(tmp_path: Path) -> None:
    data = folder_of(tmp_path, SELECT + SET[:-4], WHOLE, b"")
    cuts = torn_tails(data)
    assert [(cut.keep_bytes, cut.cut_bytes) for cut in cuts] == [
        (len(SELECT), len(SET) - 4),
        (0, len(WHOLE)),
    ]
    cut_off(data, cuts, AT)
    assert torn_tails(data) == []


@pytest.mark.parametrize(
    "damaged",
    [
        SELECT + b"\0" + SET[1:] + WHOLE + b"\0",  # a hole, and commands behind it
        SELECT + b"*3\r\n$3\r\nSET\r\n$9999\r\nk\r\n" + WHOLE + b"\0",  # a length beyond the end of the file
        SELECT + b"garbage" + WHOLE + b"\0",
        WHOLE + b"*1\r\n$4\r\nPINGxx" + bytes(40),
    ],
)
def test_damage_before_the_tail_is_refused_and_nothing_is_changed(tmp_path: Path, damaged: bytes) -> None:
    data = folder_of(tmp_path, damaged)
    with pytest.raises(CommandError, match=r"is damaged at offset .* from a backup.*truncate -s"):
        torn_tails(data)
    assert (data / FOLDER / NAME).read_bytes() == damaged


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=4), max_size=8), st.data())
def test_of_any_commands_that_are_cut_anywhere_a_prefix_is_kept(
    commands: list[list[bytes]], data: st.DataObject
) -> None:
    texts = [command("SET", *words) for words in commands]
    whole = b"".join(texts)
    size = data.draw(st.integers(0, len(whole)))
    kept = whole_commands(whole[:size]).size_bytes
    ends = [sum(map(len, texts[:number])) for number in range(len(texts) + 1)]
    assert kept == max(end for end in ends if end <= size)


def test_a_server_starts_with_a_prefix_of_its_commands_wherever_its_file_was_torn(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    with Server(valkey_binary(), made, "--aof-timestamp-enabled", "yes") as server, server.client() as client:
        for number in range(40):
            with client.pipeline(transaction=number % 2 == 0) as pipe:
                pipe.rpush("list", number)
                pipe.set("last", number)
                pipe.execute()
    (text,) = [path.read_bytes() for path in (made / FOLDER).glob("*.incr.aof")]
    chance = random.Random(7)
    for turn in range(8):
        size, zeros = chance.randrange(len(text)), chance.choice([0, 1, 511, 8192])
        _starts_with_a_prefix(_torn_copy(made, tmp_path / str(turn), text[:size] + bytes(zeros)))


def _torn_copy(made: Path, folder: Path, text: bytes) -> Path:
    (folder / FOLDER).mkdir(parents=True)
    for path in (made / FOLDER).iterdir():
        torn = path.name.endswith(".incr.aof")
        (folder / FOLDER / path.name).write_bytes(text if torn else path.read_bytes())
    return folder


def _starts_with_a_prefix(folder: Path) -> None:
    cuts = torn_tails(folder)
    if cuts:
        cut_off(folder, cuts, AT)
    with Server(valkey_binary(), folder) as server, server.client() as client:
        listed = [int(value) for value in client.lrange("list", 0, -1)]
        last = client.get("last")
    assert listed == list(range(len(listed)))
    assert int(last or -1) in {len(listed) - 1, len(listed) - 2}
