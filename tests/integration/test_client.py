"""The client against a running Takt: commands as a person and as a pipe see them, and the SDK's tables."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
    """A CSV of many rows whose id is their number, which comes back as the text that it was."""
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


def in_a_terminal(command: list[str]) -> str:
    """What a person sees of a command in a terminal of 120 columns; it must end with 0."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment({}) | {"TERM": "xterm-256color", "COLUMNS": "120"},
    )
    os.close(slave)
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the terminal has no other end any more
        while piece := os.read(master, 2**16):
            seen += piece
    os.close(master)
    assert process.wait(30) == 0, seen.decode()
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())


def test_a_person_sees_a_bar_that_moves_and_a_summary(stack: Stack, flowers: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    seen = in_a_terminal(submission(stack, flowers, output))
    assert "uploading" in seen
    done = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+)/(?:\?|20,000) rows", seen)]
    assert done == sorted(done)
    assert len(set(done)) > 1
    assert done[-1] == ROWS
    assert re.search(r"20,000 rows, 0 failed, in [\d.]+ s \([\d,]+ rows/s\) → \S*out\.parquet \(", seen), seen
    assert pq.read_table(output)["id"].to_pylist() == IDS


def test_a_pipe_gets_one_line_and_the_file(stack: Stack, flowers: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    done = subprocess.run(
        submission(stack, flowers, output), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert line.endswith("succeeded  iris@1.0.0  20000 of 20000 rows")
    assert len(pd.read_csv(output)) == ROWS
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


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
