"""Ways to predict many rows: a Takt job, a rival's requests, and the bare model; each with its total time."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.answers import Answer, is_right, read_answers
from bench.calls import NoAnswer, WrongAnswer
from bench.processes import Usage
from bench.random_rows import MEDIA_TYPES
from bench.servers import Server
from bench.subjects import ROOT

AT_ONCE = 4  # concurrent requests of a rival
MODEL = "model"
"""Name of the single part of the bare model's processes."""
_CHECKED_ROWS = 100
_LOOK_S = 0.02
_LIMIT_S = 900.0
_PIECE_BYTES = 1 << 20


def job(server: Server, form: str, file: Path, rows: int, right: Sequence[Answer]) -> float:
    """Seconds from the first byte sent to the last result byte read, in the same format as the rows.

    Raises NoAnswer, httpx.HTTPError, and WrongAnswer if the first rows' results differ from the model's.
    """
    with httpx.Client(base_url=f"http://127.0.0.1:{server.place.port}", timeout=_LIMIT_S) as client:
        begun_s = time.perf_counter()
        with file.open("rb") as body:
            params, headers = {"model": server.place.subject.name}, {"Content-Type": MEDIA_TYPES[form]}
            answer = client.post("/jobs", params=params, content=pieces(body), headers=headers)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise NoAnswer(f"takt answered a job with {answer.status_code}: {answer.text[:300]}")
        path = answer.headers["Location"]
        _await_end(client, path, rows)
        with client.stream("GET", f"{path}/results", params={"format": form}) as results:
            results.raise_for_status()
            read_bytes = sum(len(piece) for piece in results.iter_raw(_PIECE_BYTES))
        took_s = time.perf_counter() - begun_s
        assert read_bytes > rows // 10  # compact in Parquet: delta encoding for places, dictionary for labels
        first = client.get(f"{path}/results", params={"limit": _CHECKED_ROWS}).raise_for_status()
        check_rows("takt", read_answers(first.content), right)
        client.delete(path).raise_for_status()
    return took_s


def right_answers(description: Path, request: Mapping[str, object]) -> list[Answer]:
    """The model's own answer to a request of many rows, computed in a separate process."""
    command = [sys.executable, "-m", "bench.served_model", str(description)]
    body = json.dumps(request).encode()
    asked = subprocess.run(command, cwd=ROOT, input=body, check=True, capture_output=True)
    return read_answers(asked.stdout)


def pieces(file: Any) -> Iterator[bytes]:  # Any: a file open for reading
    while piece := file.read(_PIECE_BYTES):
        yield piece


def _await_end(client: httpx.Client, path: str, rows: int) -> None:
    """Wait until the job succeeds. Raises WrongAnswer if it ends in another state."""
    while True:
        found = client.get(path).raise_for_status().json()
        if found["state"] == "succeeded":
            if found["rows_succeeded"] != rows:
                raise WrongAnswer(f"takt answered {found['rows_succeeded']} of {rows} rows")
            return
        if found["state"] in ("failed", "canceled"):
            raise WrongAnswer(f"takt's job ended as {found['state']}: {found.get('error')}")
        time.sleep(_LOOK_S)


def requests(server: Server, bodies: Sequence[bytes], right: Sequence[Answer]) -> float:
    """Seconds until all requests are answered, with a few concurrent keep-alive connections.

    Raises NoAnswer, WrongAnswer, OSError, http.client.HTTPException.
    """
    shares = [bodies[number::AT_ONCE] for number in range(AT_ONCE)]
    begun_s = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda share: _asked(server, share), shares))
    took_s = time.perf_counter() - begun_s
    check_rows(server.rival.name, server.rival.answers(answers[0][0]), right)
    return took_s


def _asked(server: Server, bodies: Sequence[bytes]) -> list[bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.place.port, timeout=_LIMIT_S)
    answers = []
    for body in bodies:
        connection.request("POST", server.rival.many_path or "", body, dict(server.rival.headers))
        response = connection.getresponse()
        answers.append(response.read())
        if response.status != httpx.codes.OK:
            raise NoAnswer(f"{server.rival.name} answered {response.status}: {answers[-1][:200]!r}")
    connection.close()
    return answers


def check_rows(name: str, answers: Sequence[Answer], right: Sequence[Answer]) -> None:
    """Compare the first rows, up to the shorter length. Raises WrongAnswer."""
    for number, (answer, expected) in enumerate(zip(answers, right, strict=False)):
        if not is_right(answer, expected):
            raise WrongAnswer(f"{name} answered {answer} to row {number}, but the model predicts {expected}")


def bare(description: Path, shares: Sequence[Path]) -> tuple[float, Usage]:
    """Run the model in a process for each share, with loaded rows and after warm-up.

    Returns the seconds from the start signal to the end of the last process, their CPU time and their memory.
    """
    with ExitStack() as held:
        processes = [held.enter_context(_bare(description, share)) for share in shares]
        for process in processes:
            _line(process)
        before_s, begun_s = _cpu_s(processes), time.perf_counter()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            _line(process)
        took_s = time.perf_counter() - begun_s
        memory_bytes = sum(psutil.Process(process.pid).memory_info().rss for process in processes)
        return took_s, Usage({MODEL: _cpu_s(processes) - before_s}, {MODEL: memory_bytes})


def _cpu_s(processes: Sequence[subprocess.Popen[str]]) -> float:
    times = [psutil.Process(process.pid).cpu_times() for process in processes]
    return sum(one.user + one.system for one in times)


@contextmanager
def _bare(description: Path, rows: Path) -> Iterator[subprocess.Popen[str]]:
    """A process. It waits for another line before it ends, so that its memory can be read."""
    command = [sys.executable, "-m", "bench.bare", str(description), str(rows)]
    environment = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    """The process' next line. Raises OSError if it ended instead."""
    assert process.stdout is not None
    if said := process.stdout.readline():
        return said
    raise OSError(f"the model's own process ended with {process.wait()}")
