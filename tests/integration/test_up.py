"""`takt up` for real: everything starts with a command, heals, and ends with it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from stack.data_folder import Folder, StackRecord
from stack.live_workers import live_workers
from takt.client import Takt
from tests.support.polling import eventually
from tests.support.processes import members
from tests.support.servers import Server, free_port

pytestmark = pytest.mark.integration

PROGRAM = str(Path(sys.executable).with_name("takt"))
SERVING = "press Ctrl-C to stop"
START_LIMIT_S = 90.0


class Stack:
    """A `takt up` of a worker and a model, on a free port, in a folder of its own."""

    def __init__(self, root: Path, *options: str) -> None:
        self.folder = Folder(root)
        self.port = free_port()
        self._printed = root.with_suffix(".out")
        with self._printed.open("wb") as out:
            command = [PROGRAM, "up", "--data", str(root), "--port", str(self.port), "--workers", "1"]
            self.process = subprocess.Popen(
                [*command, "--models", "iris", *options],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(),
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def printed(self) -> str:
        return self._printed.read_text()

    def serving(self) -> Stack:
        def said_so() -> bool:
            assert self.process.poll() is None, self.printed()
            return SERVING in self.printed()

        eventually(said_so, limit_s=START_LIMIT_S, every_s=0.1)
        return self

    def redis(self) -> redis.Redis:
        record = self.folder.read_record()
        assert record is not None
        return redis.Redis.from_url(record.redis_url)

    def worker_pids(self) -> list[int]:
        with self.redis() as client:
            return [record.pid for record in live_workers(client)]

    def part_named(self, *words: str) -> psutil.Process:
        """The only child process with all these words in its command line."""
        (found,) = (p for p in self._children() if all(word in " ".join(p.cmdline()) for word in words))
        return found

    def _children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def group(self) -> int:
        return os.getpgid(self.part_named("stack.process_group").pid)

    def end(self) -> int:
        """Press Ctrl-C; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


def environment() -> dict[str, str]:
    """This environment without settings of Takt."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TAKT_")}


def takt(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments], capture_output=True, text=True, timeout=60, env=environment(), check=False
    )


def refused(*arguments: str) -> str:
    """A refusal of `takt up`: a message on stderr, exit code 1, no traceback."""
    done = takt("up", *arguments)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("up") / "stack")
    try:
        yield running.serving()
    finally:
        running.end()


def test_each_part_has_its_line_and_the_printed_call_works(stack: Stack) -> None:
    printed = stack.printed()
    for line in (
        r"valkey +ready after .* s: (valkey|redis) \d+\.\d+",
        rf"gateway +ready after .* s: {stack.url}",
        r"worker +ready after .* s: cpu: iris@1\.0\.0",
        rf"docs +{stack.url}/docs",
    ):
        assert re.search(line, printed), (line, printed)
    call = re.search(r"^ *(curl -X POST .*)$", printed, re.MULTILINE)
    answer = re.search(r'^ *(\{"prediction".*)$', printed, re.MULTILINE)
    assert call is not None
    assert answer is not None
    _, _, _, url, _, header, _, body = shlex.split(call[1])
    name, _, value = header.partition(": ")
    assert httpx.post(url, content=body, headers={name: value}).json() == json.loads(answer[1])


def test_the_clients_commands_reach_it(stack: Stack) -> None:
    predicted = takt("predict", "[5.1, 3.5, 1.4, 0.2]", "--url", stack.url)
    assert json.loads(predicted.stdout)["prediction"] == "setosa"
    submitted = takt(
        "submit", "[[5.1, 3.5, 1.4, 0.2], [6.7, 3, 5.2, 2.3]]", "-m", "iris", "--wait", "--url", stack.url
    )
    assert "succeeded  iris@1.0.0  2 of 2 rows" in submitted.stdout
    results = takt("results", submitted.stdout.split()[0], "--url", stack.url)
    labels = [json.loads(line)["prediction"] for line in results.stdout.splitlines()]
    assert labels == ["setosa", "virginica"]


def test_the_operators_commands_find_it(stack: Stack) -> None:
    workers = takt("workers", "list", "--data", str(stack.folder.root), "--json")
    assert json.loads(workers.stdout)["state"] == "serving"
    doctor = takt("doctor", "--data", str(stack.folder.root))
    assert doctor.returncode == 0, doctor.stdout
    assert f"running: PID {stack.process.pid}" in doctor.stdout


def test_a_second_up_on_the_same_folder_is_refused(stack: Stack) -> None:
    said = refused("--data", str(stack.folder.root), "--port", str(free_port()))
    assert f"takt up already runs on {stack.folder.root} (PID {stack.process.pid}, {stack.url}" in said


def test_a_second_up_on_the_same_port_is_refused(stack: Stack, tmp_path: Path) -> None:
    said = refused("--data", str(tmp_path / "other"), "--port", str(stack.port))
    assert f"port {stack.port} on 127.0.0.1 is in use" in said


def test_a_killed_worker_comes_back_and_the_reason_is_said(stack: Stack) -> None:
    (before,) = stack.worker_pids()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: any(pid != before for pid in stack.worker_pids()), limit_s=60, every_s=0.1)
    eventually(
        lambda: re.search(
            r"worker +worker/0 was killed by SIGKILL \(restart \d+ of a worker\)", stack.printed()
        )
    )
    with Takt(stack.url) as client:
        assert client.predict([5.1, 3.5, 1.4, 0.2])["prediction"] == "setosa"


def test_a_killed_queue_comes_back_with_its_data_and_the_others_recover(stack: Stack) -> None:
    with Takt(stack.url) as client:
        job = client.wait(client.submit([[5.1, 3.5, 1.4, 0.2]], model="iris").id)
        stack.part_named("-server", "127.0.0.1").kill()

        def predicts() -> bool:
            return httpx.post(
                f"{stack.url}/predict/batch", json={"inputs": [[5.1, 3.5, 1.4, 0.2]]}
            ).is_success

        eventually(lambda: "valkey     was killed by SIGKILL" in stack.printed())
        eventually(predicts, limit_s=30, every_s=0.1)
        assert client.job(job.id).state == "succeeded"


def test_a_killed_gateway_comes_back_on_its_port(stack: Stack) -> None:
    stack.part_named("-m api").kill()
    eventually(lambda: "gateway    was killed by SIGKILL" in stack.printed())

    def lives() -> bool:
        try:
            return httpx.get(f"{stack.url}/health/live").is_success
        except httpx.TransportError:
            return False

    eventually(lives, limit_s=30, every_s=0.1)


def test_ctrl_c_ends_everything_in_order_with_code_0_though_a_crashed_run_had_the_folder(
    tmp_path: Path,
) -> None:
    root = tmp_path / "stack"
    leave_a_crashed_runs_traces(Folder(root))
    stack = Stack(root)
    try:
        group = stack.serving().group()
    finally:
        code = stack.end()
    assert code == 0, stack.printed()
    assert members(group) == []
    stopped = re.findall(r"^(\S+) +stopping$", stack.printed(), re.MULTILINE)
    assert stopped == ["gateway", "worker", "valkey"]
    assert not stack.folder.record.exists()


def test_several_gateways_serve_a_port_and_end_with_it(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack", "--gateways", "2")
    try:
        stack.serving()
        assert re.search(r"^takt +2 gateways, 1 worker on cpu", stack.printed(), re.MULTILINE)
        assert f"console    {stack.url}/console" in stack.printed()

        def processes() -> set[str]:
            scraped = httpx.get(f"{stack.url}/metrics").raise_for_status().text
            return set(re.findall(r'takt_gateway_ready\{process="(\d)"\} 1', scraped))

        eventually(lambda: processes() == {"0", "1"}, limit_s=30)
        group = stack.group()
    finally:
        code = stack.end()
    assert (code, members(group)) == (0, [])


@pytest.mark.parametrize("at", ["data in", "valkey     ready", "gateway    ready"])
def test_ctrl_c_during_the_start_ends_it_with_code_130_and_leaves_nothing(tmp_path: Path, at: str) -> None:
    stack = Stack(tmp_path / "stack")
    eventually(lambda: at in stack.printed(), limit_s=START_LIMIT_S)
    group = stack.group()
    assert stack.end() == 130, stack.printed()
    assert members(group) == []
    assert "Traceback" not in stack.printed()
    assert stack.printed().endswith("stopped\n")
    assert not stack.folder.record.exists()


def leave_a_crashed_runs_traces(folder: Folder) -> None:
    folder.make()
    (folder.run / "lock").touch()
    folder.write_record(
        StackRecord(
            pid=2**22 + 1, started_at="2026-01-01T00:00:00+00:00", http_url="http://x", redis_url="redis://x"
        )
    )


def test_kill_9_of_up_leaves_no_orphan_and_a_folder_that_starts_again(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack").serving()
    group = stack.group()
    assert len(members(group)) >= 4  # leash, queue, gateway, worker
    stack.process.kill()
    stack.process.wait()
    eventually(lambda: members(group) == [], limit_s=60, every_s=0.1)
    again = Stack(tmp_path / "stack")
    try:
        again.serving()
    finally:
        assert again.end() == 0


def test_an_existing_queue_is_used_and_left_running(tmp_path: Path, queue: Server) -> None:
    stack = Stack(tmp_path / "stack", "--redis-url", queue.url)
    try:
        stack.serving()
        assert f"at {queue.url}" in stack.printed()
        assert not re.search("^valkey ", stack.printed(), re.MULTILINE)
    finally:
        assert stack.end() == 0
    with queue.client() as client:
        assert client.ping()


def test_a_queue_that_a_power_cut_tore_is_repaired_and_its_jobs_are_there(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack")
    try:
        job = httpx.post(
            f"{stack.serving().url}/jobs", json={"model": "iris", "inputs": [[5.1, 3.5, 1.4, 0.2]]}
        )
        assert job.status_code == 202
    finally:
        assert stack.end() == 0
    (text,) = (stack.folder.data / "appendonlydir").glob("*.incr.aof")
    with text.open("ab") as torn:
        torn.write(b"*3\r\n$3\r\nSET" + bytes(5000))
    again = Stack(stack.folder.root)
    try:
        found = httpx.get(f"{again.serving().url}{job.headers['location']}")
        assert found.status_code == 200
        assert "append-only file incomplete after a power cut; truncated" in again.printed()
    finally:
        assert again.end() == 0
    (kept,) = stack.folder.data.glob("appendonlydir.torn-*/*.incr.aof")
    assert kept.read_bytes().endswith(bytes(5000))


def test_data_that_a_newer_server_wrote_is_refused_and_nothing_is_left_running(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "stack")
    aof = folder.data / "appendonlydir"
    aof.mkdir(parents=True)
    (aof / "appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
    (aof / "appendonly.aof.1.base.rdb").write_bytes(b"VALKEY999" + bytes(32))
    said = refused("--data", str(folder.root), "--port", str(free_port()), "--models", "iris")
    assert "was written by a newer or different server" in said
    assert folder.running() is None


def test_an_existing_queue_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    options = ("--data", str(tmp_path / "stack"), "--port", str(free_port()), "--models", "iris")
    said = refused(*options, "--redis-url", url)
    assert "does not answer" in said
    assert "secret" not in said
