"""All failures of Redis that are possible on a single machine: effects on users, and recovery.

The same stack for all of them, and no program of it is started again. The long form is
`make test-faults FAULTS=--long-faults`.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.callers import IRIS, finished
from tests.support.disks import small_disk
from tests.support.polling import eventually
from tests.support.proxies import Proxy
from tests.support.servers import Server, valkey_binary
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.faults]

DISK_BYTES = 48 * 2**20
ROWS = [[5.1, 3.5, 1.4, 0.2]] * 20_000
NOTICES_S = 8.0
"""A server that hangs is noticed by the gateway's timeout, 3 s; one that is gone, at once. Who is not told so
waits for his deadline, 10 s."""
AT_ONCE_S = 2.5
"""Less than the gateway waits for a server that it takes to be there."""
HEALS_S = 60.0


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk if this user may mount it, else a folder."""
    with small_disk(tmp_path_factory.mktemp("disk"), DISK_BYTES) as folder:
        yield folder


@pytest.fixture(scope="module")
def server(disk: Path) -> Iterator[Server]:
    with Server(valkey_binary(), disk, "--appendfsync", "always") as started:
        yield started


@pytest.fixture(scope="module")
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as started:
        yield started


@pytest.fixture(scope="module")
def standing(proxy: Proxy, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("redis_faults")
    changes = {"models": "iris", "lease_s": "12", "batch_limit_s": "10", "chunk_rows": "2000"}
    with running(proxy.url, folder, durability="disk", **changes) as started:
        started.gateway()
        started.worker("one")
        yield started


@pytest.fixture
def stack(standing: Stack) -> Iterator[Stack]:
    """Ready before each fault, and the same processes after it."""
    wait_until_ready(standing, limit_s=60)
    before = standing.processes()
    yield standing
    assert standing.processes() == before


def test_a_job_acknowledged_durably_ends_although_its_server_is_killed(stack: Stack, server: Server) -> None:
    with job_across(stack):
        server.kill()
        refused_within(stack, NOTICES_S)
        server.start()


def test_a_server_that_hangs_is_503_within_seconds_then_at_once_and_its_return_heals(
    stack: Stack, server: Server, fault_s: float
) -> None:
    with job_across(stack):
        server.pause()
        try:
            refused_within(stack, NOTICES_S)
            refused_until(stack, time.monotonic() + fault_s)
        finally:
            server.go_on()


def test_half_open_connections_are_given_up_and_made_anew(stack: Stack, proxy: Proxy, fault_s: float) -> None:
    with job_across(stack):
        proxy.part()
        try:
            refused_within(stack, NOTICES_S)
            refused_until(stack, time.monotonic() + fault_s)
        finally:
            proxy.heal()


def test_dropped_packets_are_503_and_their_return_heals(stack: Stack, proxy: Proxy, fault_s: float) -> None:
    rule = ("-p", "tcp", "--dport", str(proxy.port), "-j", "DROP")
    if not may_filter(rule):
        pytest.skip("needs root and iptables")
    with job_across(stack):
        iptables("-A", "INPUT", *rule)
        try:
            refused_within(stack, NOTICES_S)
            refused_until(stack, time.monotonic() + fault_s)
        finally:
            iptables("-D", "INPUT", *rule)


def test_full_memory_refuses_new_work_and_running_jobs_end_afterwards(stack: Stack, server: Server) -> None:
    with server.client() as admin, stack.client() as http, job_across(stack) as location:
        admin.config_set("maxmemory", 1)
        try:
            refused_within(stack, NOTICES_S)
            upload = http.post("/jobs?model=iris", content=csv(2_000), headers={"Content-Type": "text/csv"})
            assert (upload.status_code, upload.json()["error"]) == (503, "queue_unavailable")
            assert http.get(location).status_code == 200  # what needs no memory goes on
            refused_until(stack, time.monotonic() + 4)
            assert http.post("/predict", json=IRIS).json()["error"] == "queue_unavailable"
        finally:
            admin.config_set("maxmemory", 0)


def test_a_full_disk_refuses_new_work_and_heals_once_there_is_room(
    stack: Stack, server: Server, disk: Path
) -> None:
    if not disk.is_mount():
        pytest.skip("needs root, to mount a small disk")
    ballast = disk / "ballast"
    with server.client() as admin, job_across(stack):
        admin.config_set("appendfsync", "everysec")  # with always, the server ends instead
        admin.config_set("auto-aof-rewrite-percentage", 0)
        fill(ballast)
        try:
            # each request writes until nothing more fits
            eventually(lambda: not ask(stack).is_success)
            refused_within(stack, NOTICES_S)
            refused_until(stack, time.monotonic() + 4)
        finally:
            ballast.unlink()
            eventually(lambda: admin.config_set("appendfsync", "always"))


@contextmanager
def job_across(stack: Stack) -> Iterator[str]:
    """A job that is running as the fault begins, and ends once it has healed. → its path"""
    with stack.client() as http:
        location = eventually(lambda: _accepted(http), limit_s=HEALS_S, every_s=0.1)
        yield location
        healed_s = time.monotonic()
        eventually(lambda: ask(stack).is_success, limit_s=HEALS_S, every_s=0.1)
        print(f"/predict again after {time.monotonic() - healed_s:.1f} s")  # noqa: T201 - a figure to report
        job = finished(http, location, limit_s=120, outage=True)
        print(f"the job's end after {time.monotonic() - healed_s:.1f} s")  # noqa: T201
    assert (job["state"], job["rows_succeeded"], job["rows_failed"]) == ("succeeded", len(ROWS), 0)


def _accepted(http: httpx.Client) -> str:
    """Where the job is; "" where a connection of before the last fault was found to be broken only now."""
    answer = http.post("/jobs", json={"model": "iris", "inputs": ROWS})
    assert answer.status_code in {202, 503}, answer.text
    return str(answer.headers.get("Location", ""))


def ask(stack: Stack) -> httpx.Response:
    return httpx.post(f"{stack.url}/predict", json=IRIS, timeout=30)


def refused_within(stack: Stack, limit_s: float) -> None:
    """/predict is 503 `queue_unavailable` so soon; the gateway lives, and is not ready."""
    began_s = time.monotonic()

    def refused() -> bool:
        answer = ask(stack)
        return answer.status_code == 503 and answer.json()["error"] == "queue_unavailable"

    eventually(refused, limit_s=limit_s)
    print(f"503 after {time.monotonic() - began_s:.2f} s")  # noqa: T201 - a figure to report
    assert time.monotonic() - began_s < limit_s
    assert httpx.get(f"{stack.url}/health/live", timeout=20).status_code == 200
    assert httpx.get(f"{stack.url}/health/ready", timeout=20).status_code == 503


def refused_until(stack: Stack, end_s: float) -> None:
    """Each request until then is 503 at once: nobody waits for a server that is known to be away."""
    slowest_s = 0.0
    with stack.client() as http:
        while time.monotonic() < end_s:
            began_s = time.monotonic()
            answer = http.post("/predict", json=IRIS)
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            assert (answer.status_code, answer.json()["error"]) == (503, "queue_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert http.get("/health/live").status_code == 200
            assert http.get("/health/ready").status_code == 503
            time.sleep(0.05)
    print(f"later refusals within {slowest_s * 1000:.0f} ms")  # noqa: T201
    assert slowest_s < AT_ONCE_S


def csv(rows: int) -> bytes:
    return b"sepal_length,sepal_width,petal_length,petal_width\n" + b"5.1,3.5,1.4,0.2\n" * rows


def fill(path: Path) -> None:
    """All that is left of the disk."""
    with path.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            return


def iptables(*arguments: str) -> int:
    command = ["iptables", "-w", *arguments]
    return subprocess.run(command, check=False, capture_output=True).returncode


def may_filter(rule: tuple[str, ...]) -> bool:
    return shutil.which("iptables") is not None and iptables("-C", "INPUT", *rule) == 1
