"""The client against a running Takt: commands as a person and as a pipe see them, and the SDK's tables."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared.settings import environment
from takt import AsyncTakt, Takt
from tests.support.stack import Stack

pytestmark = pytest.mark.integration

PROGRAM = str(Path(sys.executable).with_name("takt"))
ROWS = 20_000
IDS = [str(row) for row in range(ROWS)]
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
FLOWERS = pd.DataFrame([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.8, 2.7, 4.1, 1.0]] * 10, columns=NAMES)


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A CSV of many rows with their number as id, which is returned as the same text."""
    path = tmp_path / "flowers.csv"
    lines = (f"{row},{row % 80 / 10:.1f},3.5,{row % 70 / 10:.1f},0.2\n" for row in range(ROWS))
    path.write_text(",".join(["id", *NAMES]) + "\n" + "".join(lines))
    return path


@pytest.fixture
def client(stack: Stack) -> Iterator[Takt]:
    with Takt(stack.url) as takt:
        yield takt


def submission(stack: Stack, flowers: Path, output: Path) -> list[str]:
    options = ["--model", "iris", "--id-column", "id", "--wait", "-o", str(output), "--url", stack.url]
    return [PROGRAM, "submit", str(flowers), *options]


class Terminal:
    """A command as a person sees it, in a terminal of 120 columns."""

    def __init__(self, command: list[str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment({}) | {"TERM": "xterm-256color", "COLUMNS": "120"},
            # a shell's background job ignores SIGINT, and so would all that it starts
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread
        )
        os.close(slave)
        self._seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._master)
        self.process.kill()
        self.process.wait(30)

    def read_until(self, words: bytes) -> None:
        while words not in self._seen:
            self._seen += os.read(self._master, 2**16)

    def press_ctrl_c(self) -> None:
        """As a person does, who presses it again where nothing happens: one that comes as Python runs a
        finalizer is swallowed there."""
        while self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)

    def ended(self) -> tuple[int, str]:
        """The exit code, and all that was seen."""
        with contextlib.suppress(OSError):  # EIO: the terminal has no other end any more
            while piece := os.read(self._master, 2**16):
                self._seen += piece
        seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._seen.decode())
        return self.process.wait(30), seen


def test_a_person_sees_a_bar_that_moves_and_a_summary(stack: Stack, flowers: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    with Terminal(submission(stack, flowers, output)) as terminal:
        code, seen = terminal.ended()
    assert code == 0, seen
    assert "uploading" in seen
    done = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+)/(?:\?|20,000) rows", seen)]
    assert done == sorted(done)
    assert len(set(done)) > 1
    assert done[-1] == ROWS
    assert re.search(r"20,000 rows, 0 failed, in [\d.]+ s \([\d,]+ rows/s\) → \S*out\.parquet \(", seen), seen
    assert pq.read_table(output)["id"].to_pylist() == IDS


def test_a_pipe_gets_a_line_and_the_file(stack: Stack, flowers: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    done = subprocess.run(
        submission(stack, flowers, output), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert line.endswith("succeeded  iris@1.0.0  20000 of 20000 rows")
    assert len(pd.read_csv(output)) == ROWS
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_ctrl_c_ends_the_watching_and_not_the_job(stack: Stack, client: Takt) -> None:
    stack.parts["worker"].pause()
    try:
        job = client.submit(FLOWERS, model="iris")
        client.pause(job.id)
    finally:
        stack.parts["worker"].go_on()
    with Terminal([PROGRAM, "watch", job.id, "--url", stack.url]) as terminal:
        terminal.read_until(b"paused")
        terminal.press_ctrl_c()
        code, seen = terminal.ended()
    assert code == 130
    assert f"continues: takt watch {job.id}" in " ".join(seen.split())
    assert client.job(job.id).state == "paused"
    assert client.cancel(job.id).state in ("canceling", "canceled")


def test_frames_and_tables_go_in_and_come_out_equal(client: Takt) -> None:
    expected = [row["prediction"] for row in client.predict_batch(FLOWERS.values.tolist(), model="iris")]
    tables = [FLOWERS, pa.Table.from_pandas(FLOWERS, preserve_index=False)]
    jobs = [client.submit(rows, model="iris", reference="tables") for rows in tables]
    for job in jobs:
        client.wait(job.id)
        assert client.results_frame(job.id)["prediction"].tolist() == expected
        assert client.results_table(job.id)["prediction"].to_pylist() == expected
    assert {job.id for job in client.jobs(reference="tables")} == {job.id for job in jobs}


async def test_the_same_without_blocking_a_loop(stack: Stack, flowers: Path, tmp_path: Path) -> None:
    async with AsyncTakt(stack.url) as takt:
        job = await takt.wait((await takt.submit(flowers, model="iris", id_column="id")).id)
        ids = [row["id"] async for row in takt.results(job.id)]
        await takt.download(job.id, tmp_path / "out.arrow")
    assert ids == IDS == pa.ipc.open_stream(tmp_path / "out.arrow").read_all()["id"].to_pylist()
