"""A data folder belongs to a single stack at a time, and needs no cleanup after a crash."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stack.command_errors import CommandError
from stack.data_folder import Folder, StackRecord, held


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "stack")
    folder.make()
    return folder


def record(pid: int) -> StackRecord:
    return StackRecord(
        pid=pid,
        started_at="2026-03-02T06:30:00+00:00",
        http_url="http://127.0.0.1:8000",
        redis_url="redis://:secret@127.0.0.1:1/0",
    )


def a_dead_pid() -> int:
    child = os.posix_spawn("/bin/sh", ["sh", "-c", ":"], os.environ)
    os.waitpid(child, 0)
    return child


def test_a_locked_folder_is_refused_with_the_running_stack(folder: Folder) -> None:
    with held(folder):
        folder.write_record(record(os.getpid()))
        with (
            pytest.raises(CommandError, match=rf"already runs on .*PID {os.getpid()}, http://127.0.0.1:8000"),
            held(folder),
        ):
            pass


def test_leftovers_of_a_crashed_run_do_not_block_a_start(folder: Folder) -> None:
    (folder.run / "lock").touch()
    folder.write_record(record(a_dead_pid()))
    assert folder.running() is None
    with held(folder):
        pass


def test_a_descendant_that_inherited_the_lock_keeps_the_folder(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.data_folder._LEFTOVERS_S", 0.0)
    with held(folder) as lock:
        inherited = os.dup(lock)
    folder.write_record(record(a_dead_pid()))
    try:
        with pytest.raises(CommandError, match="still locked by a process of a killed run"), held(folder):
            pass
    finally:
        os.close(inherited)


def test_the_running_stack_is_known_only_while_it_holds_the_folder(folder: Folder) -> None:
    with held(folder):
        folder.write_record(record(os.getpid()))
        assert folder.running() == record(os.getpid())
    assert folder.running() is None
    assert not folder.record.exists()


def test_only_its_user_reads_the_record_which_bears_a_password(folder: Folder) -> None:
    folder.write_record(record(1))
    assert stat.S_IMODE(folder.record.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"cannot be created.*--data"):
        Folder(tmp_path / "file" / "stack").make()
