"""Temporary folders: those of killed processes are removed, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from shared.temporary_folders import TemporaryFolder, remove_leftovers, temporary_folder

MAKES_ONE = """
import sys
from pathlib import Path
from shared.temporary_folders import TemporaryFolder
folder = TemporaryFolder("takt-test-", Path(sys.argv[1]))
(folder.path / "file").write_text("x")
print(folder.path, flush=True)
sys.stdin.read()
"""


def test_the_folder_of_a_killed_process_is_removed_and_that_of_a_live_one_is_not(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKES_ONE, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        made = Path(process.stdout.readline().strip())
        assert remove_leftovers("takt-test-", tmp_path) == []
        process.send_signal(signal.SIGKILL)
    assert made.is_dir()
    assert remove_leftovers("takt-test-", tmp_path) == [made]
    assert not made.exists()


def test_folders_of_other_prefixes_and_new_ones_without_a_lock_stay(tmp_path: Path) -> None:
    for name in ("takt-test-new", "takt-test-old", "other"):
        (tmp_path / name).mkdir()
    day_ago_s = time.time() - 100_000
    os.utime(tmp_path / "takt-test-old", (day_ago_s, day_ago_s))
    assert remove_leftovers("takt-test-", tmp_path) == [tmp_path / "takt-test-old"]


def test_a_folder_is_removed_after_its_block(tmp_path: Path) -> None:
    with temporary_folder("takt-test-", tmp_path) as folder:
        (folder / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_removed_folder_may_be_removed_again_by_a_leftover_search(tmp_path: Path) -> None:
    folder = TemporaryFolder("takt-test-", tmp_path)
    folder.remove()
    assert remove_leftovers("takt-test-", tmp_path) == []
