"""A supervisor with its fork server and workers, of which parts are killed while requests go on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from shared.worker_records import ModelState, WorkerRecord
from stack.live_workers import live_workers
from tests.support.callers import IRIS
from tests.support.model_folders import write_model
from tests.support.polling import eventually
from tests.support.processes import members, named_members
from tests.support.servers import Server, valkey_binary
from tests.support.stack import STARTS_S, Part, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.faults]

IRIS_KEY = "iris@1.0.0"
FATAL_REASONS = {
    "segfaults": "was killed by SIGSEGV",
    "exits": "ended with code 3",
    "takes_all_memory": "MemoryError",
    "hangs": "not verified within 20 s (TAKT_VERIFY_LIMIT_S)",
}


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    """A repository with iris alone."""
    root = tmp_path / "models"
    shutil.copytree(models / "iris", root / "iris", ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Server]:
    """A separate server, so that it has the records of these workers only."""
    with Server(valkey_binary(), tmp_path) as started:
        yield started


@pytest.fixture
def client(valkey: Server) -> Iterator[redis.Redis]:
    with valkey.client() as made:
        yield made


@pytest.fixture
def stack(valkey: Server, folder: Path, tmp_path: Path) -> Iterator[Stack]:
    """A gateway, and a supervisor `w` with two workers."""
    settings = {"models_dir": str(folder), "verify_limit_s": "20", "workers": "2"}
    settings |= {"memory_limit_bytes": str(2 << 30), "batch_limit_s": "5"}
    with running(valkey.url, tmp_path, **settings) as started:
        started.gateway()
        started.worker("w")
        wait_until_ready(started)
        yield started


@pytest.fixture
def supervisor(stack: Stack) -> Part:
    return stack.parts["w"]


@contextmanager
def steady_requests(stack: Stack, per_s: float = 20.0) -> Iterator[list[int]]:
    """Send requests to iris during the block, each on time. Yields the statuses so far."""
    statuses: list[int] = []
    ended = threading.Event()

    def send() -> None:
        with stack.client() as http:
            statuses.append(http.post("/models/iris/predict", json=IRIS).status_code)

    def keep_sending() -> None:
        senders = []
        while not ended.wait(1 / per_s):
            senders.append(threading.Thread(target=send))
            senders[-1].start()
        for sender in senders:
            sender.join()

    sending = threading.Thread(target=keep_sending)
    sending.start()
    try:
        yield statuses
    finally:
        ended.set()
        sending.join()


def settled(client: redis.Redis, workers: int, *, without: int = 0) -> list[WorkerRecord]:
    """The records of so many workers, all of them ready, and none of the process `without`."""

    def found() -> list[WorkerRecord] | None:
        records = live_workers(client)
        settled = all(one.is_ready and one.pid != without for one in records)
        return records if len(records) == workers and settled else None

    records = eventually(found, limit_s=STARTS_S)
    assert records is not None
    return records


def state_of(client: redis.Redis, key: str) -> Callable[[], ModelState | None]:
    def found() -> ModelState | None:
        states = [record.models[key].state for record in live_workers(client) if key in record.models]
        return states[0] if states and len(set(states)) == 1 else None

    return found


def fork_server_of(part: Part) -> int:
    """A fork has the name of its fork server for a moment."""

    def found() -> int:
        pids = [pid for pid in named_members(part.pid, "takt-forkserver") if is_child_of(pid, part.pid)]
        return pids[0] if len(pids) == 1 else 0

    return eventually(found) or 0


def is_child_of(pid: int, parent: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).ppid() == parent
    return False


def test_workers_have_names_share_the_models_and_are_separate_processes(
    client: redis.Redis, supervisor: Part
) -> None:
    records = settled(client, 2)
    assert [record.name for record in records] == ["w/0", "w/1"]
    assert {record.pid for record in records} == set(supervisor.worker_pids)
    for record in records:
        assert record.supervisor is not None
        assert (record.supervisor.pid, record.supervisor.workers) == (supervisor.pid, 2)
        assert record.models[IRIS_KEY].own_copy == ""
        assert record.models[IRIS_KEY].memory_bytes > 0
        assert psutil.Process(record.pid).ppid() == supervisor.pid


def test_a_fork_has_no_descriptor_of_the_fork_server_and_a_higher_oom_score(supervisor: Part) -> None:
    fork_server = fork_server_of(supervisor)
    scores = [oom_score(pid) for pid in (supervisor.worker_pids[0], fork_server, supervisor.pid)]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3
    assert not sockets(fork_server) & sockets(supervisor.worker_pids[0])


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii"))


def sockets(pid: int) -> set[str]:
    links = [path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir()]
    return {link for link in links if link.startswith("socket:")}


def test_a_killed_worker_costs_no_request_and_is_restarted_with_its_reason(
    client: redis.Redis, stack: Stack, supervisor: Part
) -> None:
    settled(client, 2)
    with steady_requests(stack) as statuses:
        for _ in range(2):
            victim = supervisor.worker_pids[0]
            os.kill(victim, signal.SIGKILL)
            records = settled(client, 2, without=victim)
    assert set(statuses) == {200}
    newest = max(records, key=lambda record: record.started_at)
    assert newest.supervisor is not None
    assert newest.supervisor.restarts >= 1
    assert newest.supervisor.last_exit is not None
    assert newest.supervisor.last_exit.reason == "was killed by SIGKILL"


def test_a_worker_that_hangs_is_killed_and_replaced_and_costs_no_request(
    client: redis.Redis, stack: Stack, supervisor: Part
) -> None:
    records = settled(client, 2)
    with steady_requests(stack) as statuses:
        os.kill(records[0].pid, signal.SIGSTOP)
        after = settled(client, 2, without=records[0].pid)
        eventually(lambda: len(statuses) > 20)
    assert set(statuses) == {200}
    newest = max(after, key=lambda record: record.started_at)
    assert newest.supervisor is not None
    assert newest.supervisor.last_exit is not None
    assert "without a sign of life" in newest.supervisor.last_exit.reason


def test_a_killed_fork_server_takes_no_worker_along_and_its_successor_forks_again(
    client: redis.Redis, stack: Stack, supervisor: Part
) -> None:
    settled(client, 2)
    before, fork_server = supervisor.worker_pids, fork_server_of(supervisor)
    with steady_requests(stack) as statuses:
        os.kill(fork_server, signal.SIGKILL)
        eventually(lambda: named_members(supervisor.pid, "takt-forkserver") not in ([], [fork_server]))
        assert supervisor.worker_pids == before
        os.kill(before[0], signal.SIGKILL)
        settled(client, 2, without=before[0])
    assert set(statuses) == {200}


def test_a_killed_supervisor_leaves_no_process(client: redis.Redis, supervisor: Part) -> None:
    settled(client, 2)
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.ended()
    eventually(lambda: not members(supervisor.pid), limit_s=30.0)
    assert live_workers(client) == []


def test_a_terminated_supervisor_ends_its_workers_in_order(client: redis.Redis, supervisor: Part) -> None:
    settled(client, 2)
    assert supervisor.end(signal.SIGTERM) == 0
    assert members(supervisor.pid) == []
    assert live_workers(client) == []


def test_a_version_is_added_while_serving_and_removed_again_without_a_failed_request(
    client: redis.Redis, stack: Stack, supervisor: Part, folder: Path
) -> None:
    settled(client, 2)
    before = fork_server_of(supervisor)
    with steady_requests(stack) as statuses:
        write_model(folder, "further")
        supervisor.tell(signal.SIGHUP)
        eventually(lambda: state_of(client, "further@1.0.0")() is ModelState.LOADED, limit_s=STARTS_S)
        settled(client, 2)
        assert fork_server_of(supervisor) == before
        shutil.rmtree(folder / "further")
        supervisor.tell(signal.SIGHUP)
        eventually(
            lambda: (
                named_members(supervisor.pid, "takt-forkserver") not in ([before], [])
                and before not in members(supervisor.pid)
            ),
            limit_s=STARTS_S,
        )
        eventually(lambda: all("further@1.0.0" not in one.models for one in settled(client, 2)))
    assert set(statuses) == {200}


@pytest.mark.parametrize("how", FATAL_REASONS)
def test_an_artifact_that_ends_its_verifier_costs_nobody_an_answer(
    client: redis.Redis, stack: Stack, supervisor: Part, folder: Path, how: str
) -> None:
    before = {record.id for record in settled(client, 2)}
    with steady_requests(stack) as statuses:
        write_model(folder, "bad", unpickles=how)
        supervisor.tell(signal.SIGHUP)
        eventually(lambda: state_of(client, "bad@1.0.0")() is ModelState.FAILED, limit_s=STARTS_S)
        eventually(lambda: len(statuses) > 10)
    assert set(statuses) == {200}
    records = live_workers(client)
    assert {record.id for record in records} == before
    assert FATAL_REASONS[how] in records[0].models["bad@1.0.0"].reason


def test_workers_that_may_not_be_forked_load_for_themselves_and_say_so(
    valkey: Server, folder: Path, tmp_path: Path, client: redis.Redis
) -> None:
    with running(valkey.url, tmp_path, models_dir=str(folder), fork="never") as stack:
        part = stack.worker("own")
        (record,) = settled(client, 1)
        assert record.models[IRIS_KEY].own_copy == "set by TAKT_FORK"
        os.kill(record.pid, signal.SIGKILL)
        eventually(lambda: [one.pid for one in settled(client, 1)] != [record.pid], limit_s=STARTS_S)
        assert part.end(signal.SIGTERM) == 0


def test_a_machine_that_hangs_goes_on(client: redis.Redis, supervisor: Part) -> None:
    settled(client, 2)
    supervisor.pause()
    time.sleep(0.5)
    supervisor.go_on()
    settled(client, 2)
