"""What the console says within five seconds of an incident, in a real browser on a running Takt.

The incidents run in the order of the file on one stack: those that leave a trace for minutes, such as
restarts, come last.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from shared import keys
from shared.dead_letters import DeadLetters, LetterKind, Unreadable
from shared.worker_records import WorkerRecord, WorkerState, to_hash
from tests.support.browsers import Visitor, browser, chromium, visiting
from tests.support.callers import IRIS
from tests.support.poison import MODEL, SEGFAULTS, poison_repository
from tests.support.polling import eventually
from tests.support.processes import named_members
from tests.support.servers import Server, free_port
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.tools]

SAYS_WITHIN_MS = 5000
RECOVERS_WITHIN_MS = 60_000
MIB = 2**20
SECRET = "whsec_" + "A" * 32


@dataclass
class Scene:
    """A running Takt, and the console that an operator has open."""

    stack: Stack
    queue: Server
    page: Page
    folder: Path

    @property
    def client(self) -> Any:  # Any: redis-py's union of answers
        return self.queue.client()

    @property
    def verdict(self) -> str:
        return self.page.locator(".verdict").inner_text()

    @property
    def supervisor(self) -> int:
        return self.stack.parts["worker"].pid

    @property
    def fork_server(self) -> int:
        [pid] = named_members(self.supervisor, "takt-forkserver")
        return pid

    def restart_worker(self) -> None:
        part = self.stack.parts["worker"]
        part.end(signal.SIGTERM)
        part.start()

    def submit(self, **body: object) -> str:
        with self.stack.client() as http:
            answer = http.post("/jobs", json={"model": "iris", "inputs": [IRIS]} | body)
        answer.raise_for_status()
        return str(answer.json()["id"])


Incident = Callable[[Scene], AbstractContextManager[object]]


@pytest.fixture(scope="module")
def scene(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("incidents")
    root = poison_repository(folder)
    shutil.copytree(models / "iris", root / "iris")
    settings = {
        "models_dir": str(root),
        "workers": "2",
        "max_stored_bytes": str(100 * MIB),
        "webhook_secret": SECRET,
        "webhook_allow": "127.0.0.0/8",
        "memory_limit_bytes": "0",
    }
    with running(queue.url, folder, **settings) as stack:
        stack.gateway()
        stack.gateway("other", port=free_port())
        stack.worker("worker")
        wait_until_ready(stack)
        with browser(chromium()) as window, _open(window, stack) as visitor:
            yield Scene(stack, queue, visitor.page, folder)


@contextmanager
def _open(window: Browser, stack: Stack) -> Iterator[Visitor]:
    with visiting(window, stack.url) as visitor:
        visitor.open()
        yield visitor


# -- incidents ---------------------------------------------------------------------------------------------


@contextmanager
def suspended(pid_of: Callable[[Scene], int], scene: Scene) -> Iterator[None]:
    pid = pid_of(scene)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def part_suspended(name: str, scene: Scene) -> Iterator[None]:
    scene.stack.parts[name].pause()
    try:
        yield
    finally:
        scene.stack.parts[name].go_on()


@contextmanager
def gateway_killed(scene: Scene) -> Iterator[None]:
    scene.stack.parts["gateway"].kill()
    try:
        yield
    finally:
        scene.stack.parts["gateway"].start()


@contextmanager
def redis_suspended(scene: Scene) -> Iterator[None]:
    scene.queue.pause()
    try:
        yield
    finally:
        scene.queue.go_on()


@contextmanager
def redis_killed(scene: Scene) -> Iterator[None]:
    scene.queue.kill()
    try:
        yield
    finally:
        scene.queue.start()


@contextmanager
def redis_set(name: str, value: str, before: str, scene: Scene) -> Iterator[None]:
    scene.client.config_set(name, value)
    try:
        yield
    finally:
        scene.client.config_set(name, before)


@contextmanager
def redis_is_replica(scene: Scene) -> Iterator[None]:
    scene.client.replicaof("127.0.0.1", str(free_port()))
    try:
        yield
    finally:
        scene.client.replicaof("NO", "ONE")


@contextmanager
def redis_password_changed(scene: Scene) -> Iterator[None]:
    admin = scene.client
    admin.config_set("requirepass", "changed")
    admin.client_kill_filter(skipme=True, _type="normal")
    try:
        yield
    finally:
        admin.config_set("requirepass", "")


@contextmanager
def store_full(scene: Scene) -> Iterator[None]:
    path = scene.folder / "payloads" / "junk"
    path.mkdir(parents=True)
    with (path / "0").open("wb") as file:
        file.truncate(100 * MIB)
    try:
        yield
    finally:
        shutil.rmtree(path)


@contextmanager
def all_drained(scene: Scene) -> Iterator[None]:
    ids = [name.decode() for name in scene.client.zrange(keys.workers(), 0, -1)]
    for worker_id in ids:
        scene.client.set(keys.drain(worker_id), "1", ex=600)
    try:
        yield
    finally:
        for worker_id in ids:
            scene.client.delete(keys.drain(worker_id))


@contextmanager
def model_broken(scene: Scene) -> Iterator[None]:
    """A second supervisor has a damaged artifact."""
    root = scene.folder / "damaged"
    shutil.copytree(scene.folder / "models" / "iris", root / "iris")
    [artifact] = [path for path in (root / "iris" / "1.0.0").iterdir() if path.suffix == ".joblib"]
    artifact.write_bytes(artifact.read_bytes()[:-8] + b"damaged!")
    part = scene.stack.worker("broken", wait=False, models_dir=str(root), models="iris", workers="1")
    eventually(lambda: part.has_said("model_failed"), limit_s=60)
    try:
        yield
    finally:
        part.end(signal.SIGTERM)


@contextmanager
def webhook_dead(scene: Scene) -> Iterator[None]:
    job = scene.submit(webhook_url=f"http://127.0.0.1:{free_port()}/hook")
    eventually(lambda: scene.client.xlen(keys.job_webhook(job)) > 0, limit_s=30)
    try:
        yield
    finally:
        with scene.stack.client() as http:
            http.delete(f"/jobs/{job}").raise_for_status()


@contextmanager
def clock_wrong(scene: Scene) -> Iterator[None]:
    """The heartbeat of a worker whose clock is a minute off; a process cannot set a clock of its own."""
    record = WorkerRecord(
        id="far/0:1",
        host="far",
        pid=1,
        device="cpu",
        state=WorkerState.SERVING,
        started_at=datetime.now(UTC).isoformat(),
        models={},
        clock_offset_s=61.0,
    )
    scene.client.hset(keys.worker(record.id), mapping=to_hash(record))
    scene.client.zadd(keys.workers(), {record.id: scene.client.time()[0] * 1000})
    try:
        yield
    finally:
        scene.client.delete(keys.worker(record.id))
        scene.client.zrem(keys.workers(), record.id)


@contextmanager
def dead_letter(scene: Scene) -> Iterator[None]:
    letters = DeadLetters(scene.client)
    letters.set_aside(Unreadable(kind=LetterKind.CHUNK, place="j/0", reason="truncated", data=b"x"))
    try:
        yield
    finally:
        for letter in letters.newest(10):
            letters.drop(letter)


@contextmanager
def job_failed(scene: Scene) -> Iterator[None]:
    with scene.stack.client() as http:
        answer = http.post(
            "/jobs",
            params={"model": "iris", "max_errors": "0"},
            content=b"sepal_length,sepal_width,petal_length,petal_width\nx,1,1,1\n",
            headers={"content-type": "text/csv"},
        )
        answer.raise_for_status()
        job = answer.json()["id"]
        eventually(lambda: http.get(f"/jobs/{job}").json()["state"] == "failed", limit_s=30)
    try:
        yield
    finally:
        for key in scene.client.keys(keys.hour("*")):  # two hours pass
            scene.client.delete(key)


@contextmanager
def no_worker(scene: Scene) -> Iterator[None]:
    part = scene.stack.parts["worker"]
    part.end(signal.SIGTERM)
    try:
        yield
    finally:
        part.start()


@contextmanager
def supervisor_killed(scene: Scene) -> Iterator[None]:
    os.kill(scene.supervisor, signal.SIGKILL)
    part = scene.stack.parts["worker"]
    part.ended()
    try:
        yield
    finally:
        part.start()


@contextmanager
def process_killed(pid_of: Callable[[Scene], int], scene: Scene) -> Iterator[None]:
    os.kill(pid_of(scene), signal.SIGKILL)
    try:
        yield
    finally:
        scene.restart_worker()  # its restarts are shown for a minute, and are forgotten with the supervisor


@contextmanager
def crash_loop(scene: Scene) -> Iterator[None]:
    part, killed = scene.stack.parts["worker"], set[int]()
    for _ in range(3):
        eventually(lambda: set(part.worker_pids) - killed, limit_s=30)
        victim = max(set(part.worker_pids) - killed)
        os.kill(victim, signal.SIGKILL)
        killed.add(victim)
    eventually(lambda: len(part.worker_pids) == 2, limit_s=30)
    try:
        yield
    finally:
        scene.restart_worker()


@contextmanager
def poison_job(scene: Scene) -> Iterator[None]:
    job = scene.submit(model=MODEL, inputs=[{"x": SEGFAULTS}])
    with scene.stack.client() as http:
        eventually(lambda: http.get(f"/jobs/{job}").json()["state"] != "queued", limit_s=30)
        eventually(lambda: scene.stack.parts["worker"].has_said("worker_ended"), limit_s=30)

    def passed() -> bool:
        """Remove the counts of the last quarter of an hour; a gateway or worker may still write some."""
        for key in scene.client.keys(keys.history(0).replace("0", "*")):
            scene.client.delete(key)
        with scene.stack.client() as http:
            conditions = http.get("/status").json()["conditions"]
        return "rows_quarantined" not in {condition["code"] for condition in conditions}

    try:
        yield
    finally:
        with scene.stack.client() as http:
            eventually(lambda: http.get(f"/jobs/{job}").json()["rows_failed"] == 1, limit_s=60)
        scene.restart_worker()
        eventually(passed, limit_s=60, every_s=0.5)


def first_worker(scene: Scene) -> int:
    return scene.stack.parts["worker"].worker_pids[0]


INCIDENTS: Mapping[str, tuple[Incident, str, str]] = {
    # name: what happens, the verdict, a part of what is said
    "gateway hangs": (partial(part_suspended, "gateway"), "No data", "The gateway has not answered"),
    "gateway killed": (gateway_killed, "No data", "The gateway has not answered"),
    "other gateway hangs": (partial(part_suspended, "other"), "Trouble", "Gateway other does not answer"),
    "redis hangs": (redis_suspended, "Trouble", "Redis does not answer"),
    "redis killed": (redis_killed, "Trouble", "Redis does not answer"),
    "redis memory full": (partial(redis_set, "maxmemory", "1mb", "0"), "Trouble", "Redis"),
    "redis not persistent": (
        partial(redis_set, "appendonly", "no", "yes"),
        "Warning",
        "Redis may lose accepted work",
    ),
    "redis is a replica": (redis_is_replica, "Trouble", "Redis refuses writes"),
    "redis password changed": (
        redis_password_changed,
        "Trouble",
        "Redis does not answer: it rejects the user name or password",
    ),
    "store full": (store_full, "Trouble", "Jobs are rejected"),
    "all drained": (all_drained, "Trouble", "All 2 workers are drained"),
    "webhook dead": (webhook_dead, "Warning", "1 webhooks of ended jobs"),
    "clock wrong": (clock_wrong, "Warning", "The clock of host far differs"),
    "dead letter": (dead_letter, "Warning", "1 messages or records could not be read"),
    "job failed": (job_failed, "Warning", "Failed jobs of iris@1.0.0 in the last two hours: 1"),
    "model broken": (model_broken, "Warning", "1 workers could not load iris@1.0.0"),
    "worker hangs": (partial(suspended, first_worker), "Warning", "no heartbeat"),
    "fork server hangs": (
        partial(suspended, lambda scene: scene.fork_server),
        "Warning",
        "its fork server is suspended",
    ),
    "supervisor hangs": (
        partial(suspended, lambda scene: scene.supervisor),
        "Warning",
        "cannot restart its workers: no sign of life",
    ),
    "no worker": (no_worker, "Trouble", "No worker is connected"),
    "supervisor killed": (supervisor_killed, "Trouble", "No worker is connected"),
    "worker killed": (partial(process_killed, first_worker), "Warning", "was killed by SIGKILL"),
    "fork server killed": (
        partial(process_killed, lambda scene: scene.fork_server),
        "Warning",
        "fork server of worker was restarted",
    ),
    "crash loop": (crash_loop, "Trouble", "were restarted 3 times in five minutes"),
    "poison job": (poison_job, "Warning", "SIGSEGV"),
}


@pytest.mark.parametrize("name", INCIDENTS)
def test_the_console_says_what_is_wrong_within_five_seconds_and_when_it_is_over(
    scene: Scene, name: str
) -> None:
    happens, level, said = INCIDENTS[name]
    verdict = scene.page.locator(".verdict")
    expect(verdict).to_contain_text("Healthy", timeout=RECOVERS_WITHIN_MS)
    with happens(scene):
        expect(verdict).not_to_contain_text("Healthy", timeout=SAYS_WITHIN_MS)
        expect(verdict).to_contain_text(level, timeout=SAYS_WITHIN_MS)
        expect(scene.page.locator("main")).to_contain_text(said, timeout=SAYS_WITHIN_MS, use_inner_text=True)
        looks_live(scene, level, said)
    expect(verdict).to_contain_text("Healthy", timeout=RECOVERS_WITHIN_MS)


def looks_live(scene: Scene, level: str, said: str) -> None:
    """Without an answer of gateway or Redis, nothing is shown as if it were live."""
    old = level == "No data" or said.startswith("Redis does not answer")
    expect(scene.page.locator("body[data-old]")).to_have_count(int(old))
    if old:
        workers = scene.page.get_by_role("region", name="Workers", exact=True)
        expect(workers).to_contain_text("Unknown")
        expect(workers).not_to_contain_text("Serving")
    if said.startswith("All 2 workers"):
        expect(scene.page.get_by_role("region", name="Workers", exact=True)).to_contain_text("Drained")
