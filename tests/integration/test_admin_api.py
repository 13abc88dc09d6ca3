"""What operators do by a gateway's URL and a key, on running workers; Redis' password is not needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from shared import keys as spelled
from shared.dead_letters import DeadLetters, LetterKind, Unreadable
from stack import operator_cli
from tests.support.access import holder, keep_now
from tests.support.callers import IRIS, finished, handed_over
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

OPERATOR, ADMIN, AUDITOR = (holder(role, role) for role in ("operate", "admin", "audit"))
CALLER = holder("mes", "predict", "submit", "read")


@pytest.fixture(scope="module")
def stack(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with queue.client() as client:
        keep_now(client, OPERATOR, ADMIN, AUDITOR, CALLER)
    with running(queue.url, tmp_path_factory.mktemp("stack"), access="keys") as started:
        started.gateway()
        started.worker("w1", workers="2")
        wait_until_ready(started)
        with admin(started) as http:
            eventually(lambda: len(ids(http)) == 2, limit_s=60)
        yield started


def admin(stack: Stack, key: Any = ADMIN) -> httpx.Client:
    return httpx.Client(base_url=stack.url, timeout=30, headers=key.headers)


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with admin(stack) as client:
        yield client


def workers(http: httpx.Client) -> dict[str, dict[str, Any]]:
    found = http.get("/workers").raise_for_status().json()["workers"]
    return {each["name"]: each for each in found if each["state"] == "serving" or each["drained"]}


def ids(http: httpx.Client) -> set[str]:
    return {each["id"] for each in workers(http).values()}


def takt(stack: Stack, app: str, *words: str, key: Any = OPERATOR) -> Result:
    """Run a command of the program without the queue's address."""
    environment = {"TAKT_API_KEY": key.token, "TAKT_REDIS_URL": "redis://nowhere.invalid:1"}
    return CliRunner().invoke(getattr(operator_cli, app), [*words, "--url", stack.url], env=environment)


def test_a_worker_is_drained_and_serves_again(stack: Stack, http: httpx.Client) -> None:
    drained = takt(stack, "workers", "drain", "w1/0", "--wait", "--limit", "30")
    assert drained.exit_code == 0, drained.output
    assert "is drained" in drained.stdout
    assert workers(http)["w1/0"]["drained"]
    assert not workers(http)["w1/1"]["drained"]
    assert takt(stack, "workers", "undrain", "w1/0").exit_code == 0
    eventually(lambda: not workers(http)["w1/0"]["drained"], limit_s=30)


def test_a_restart_replaces_a_worker_without_a_failed_request(stack: Stack, http: httpx.Client) -> None:
    before, stopping, statuses = ids(http), threading.Event(), set[int]()

    def ask() -> None:
        with admin(stack, CALLER) as caller:
            while not stopping.is_set():
                statuses.add(caller.post("/predict", json=IRIS).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        done = takt(stack, "workers", "restart", "w1/0", "w1/1", "--wait", "--limit", "60")
        assert done.exit_code == 0, done.output
        eventually(lambda: len(ids(http)) == 2 and not ids(http) & before, limit_s=60)
    finally:
        stopping.set()
        asking.join()
    assert statuses == {200}
    assert "is gone" in done.stdout


def test_the_stack_of_a_worker_shows_its_engine(stack: Stack, http: httpx.Client) -> None:
    shown = takt(stack, "workers", "stack", "w1/0", key=AUDITOR)
    assert shown.exit_code == 0, shown.output
    assert "Thread engine" in shown.stdout
    assert "worker/execution/engine.py" in shown.stdout
    both = http.get("/workers/w1/stack")
    assert (both.status_code, "name one of them" in both.json()["detail"]) == (409, True)
    missing = http.get("/workers/w9/stack")
    assert (missing.status_code, missing.json()["error"]) == (404, "not_found")


def test_the_log_of_a_worker_shows_its_latest_events(stack: Stack, http: httpx.Client) -> None:
    takt(stack, "workers", "stack", "w1/0")
    shown = takt(stack, "workers", "log", "w1/0", key=AUDITOR)
    assert shown.exit_code == 0, shown.output
    assert "worker_ordered" in shown.stdout
    found = http.get("/workers/w1/0/log", params={"level": "info"}).json()
    assert found["worker"] == workers(http)["w1/0"]["id"]
    orders = [event for event in found["events"] if event["event"] == "worker_ordered"]
    assert {event["level"] for event in orders} == {"info"}
    assert {event["fields"]["order"] for event in orders} >= {"stack", "log"}
    assert [event["at"] for event in found["events"]] == sorted(event["at"] for event in found["events"])
    severe = http.get("/workers/w1/0/log", params={"level": "critical"}).json()["events"]
    assert {event["level"] for event in severe} <= {"critical"}
    assert http.get("/workers/w1/log").status_code == 409
    assert http.get("/workers/w9/log").json()["error"] == "not_found"
    with admin(stack, CALLER) as caller:
        assert caller.get("/workers/w1/0/log").json()["error"] == "forbidden"


def test_the_cpu_of_a_worker_follows_its_load(stack: Stack, http: httpx.Client) -> None:
    row = "IM-07,housing,day,A,226.5,60.2,47.3,910,29.8,2,false,2026-03-03T09:30:00Z\n"
    names = "machine,product,shift,resin_lot,melt_temperature_c,mold_temperature_c,torque_nm,pressure_bar,"
    body = f"{names}cycle_time_s,operators,maintenance_due,produced_at\n{row * 80_000}".encode()
    stopping = threading.Event()

    def load() -> None:
        with admin(stack, CALLER) as caller:
            while not stopping.is_set():
                finished(caller, handed_over(caller, "quality", [body], "text/csv"))

    def used() -> float:
        return sum(float(each["cpu_percent"]) for each in workers(http).values())

    loading = threading.Thread(target=load)
    eventually(lambda: used() < 10, limit_s=60)
    loading.start()
    try:
        eventually(lambda: used() > 10, limit_s=60)
    finally:
        stopping.set()
        loading.join()
    assert {each["gpu"] for each in workers(http).values()} == {None}
    listed = takt(stack, "workers", "list").stdout
    assert "cpu" in listed.splitlines()[0]
    assert listed.count(" %") == 2


def test_a_dead_letter_is_shown_requeued_and_dropped(stack: Stack, queue: Server) -> None:
    with queue.client() as client:
        letters = DeadLetters(client)
        for place in ("iris@1.0.0/1-0", "iris@1.0.0/2-0"):
            letters.set_aside(
                Unreadable(
                    kind=LetterKind.DOORBELL, place=place, reason="why", model="none@1.0.0", data=b"\xc1"
                )
            )
        first, second = (letter.id for letter in letters.newest(2))
        assert first in takt(stack, "dead_letters", "list", key=AUDITOR).stdout
        assert "c1" in takt(stack, "dead_letters", "show", first, key=AUDITOR).stdout
        refused = takt(stack, "dead_letters", "drop", first, key=AUDITOR)
        assert (refused.exit_code, "role 'operate'" in refused.stderr) == (1, True)
        assert takt(stack, "dead_letters", "drop", first).exit_code == 0
        assert takt(stack, "dead_letters", "requeue", second).exit_code == 0
        assert client.lrange(spelled.offline_queue(spelled.model_key("none", "1.0.0")), 0, -1) == [b"\xc1"]
        assert not letters.newest(10)
        gone = takt(stack, "dead_letters", "requeue", second)
        assert (gone.exit_code, "No dead letter has the id" in gone.stderr) == (1, True)


def test_keys_are_made_listed_limited_and_revoked(stack: Stack) -> None:
    made = takt(stack, "keys", "create", "line-2", "--role", "read", "--expires-in", "90d", key=ADMIN)
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    headers = {"x-api-key": token}
    assert httpx.get(f"{stack.url}/jobs", headers=headers).status_code == 200
    listed = takt(stack, "keys", "list", key=AUDITOR).stdout
    assert "line-2" in listed
    assert token not in listed
    assert takt(stack, "keys", "set", "line-2", "--weight", "2", key=ADMIN).exit_code == 0
    refused = takt(stack, "keys", "create", "evil", "--role", "admin", key=OPERATOR)
    assert (refused.exit_code, "role 'admin'" in refused.stderr) == (1, True)
    assert takt(stack, "keys", "revoke", token.split("_")[1], key=ADMIN).exit_code == 0

    def is_refused() -> bool:
        return httpx.get(f"{stack.url}/jobs", headers=headers).status_code == 401

    eventually(is_refused, limit_s=10)


def test_storage_is_shown_by_owner_and_orphans_are_kept_while_the_ledger_is_young(
    stack: Stack, http: httpx.Client
) -> None:
    before = {each["owner"]: each["jobs"] for each in http.get("/storage").json()["owners"]}
    with admin(stack, CALLER) as caller:
        rows = [list(IRIS.values())] * 2000
        job = caller.post("/jobs", json={"model": "iris", "inputs": rows})
        assert job.status_code == 202, job.text
        finished(caller, job.headers["Location"])
    orphan = Path(stack.folder) / "payloads" / ("0" * 32) / "in"
    orphan.mkdir(parents=True)
    (orphan / "00000000").write_bytes(b"x" * 1000)
    found = http.get("/storage").json()
    assert [each["job_id"] for each in found["orphans"]] == ["0" * 32]
    assert found["orphans"][0]["bytes"] == 1000
    (owner,) = found["owners"]
    assert (owner["owner"], owner["jobs"]) == ("mes", before.get("mes", 0) + 1)
    assert found["used_bytes"] == owner["bytes"] + 1000
    refused = takt(stack, "storage", "clean")
    assert (refused.exit_code, "may have been emptied or replaced" in refused.stderr) == (1, True)
    assert "mes" in takt(stack, "storage", "show", key=AUDITOR).stdout


def test_settings_hide_secrets_and_versions_name_every_part(stack: Stack, http: httpx.Client) -> None:
    found = {one["variable"]: one for one in http.get("/settings").json()["settings"]}
    assert found["TAKT_REDIS_URL"]["value"] == "**********"
    assert found["TAKT_ACCESS"] == {"variable": "TAKT_ACCESS", "value": "keys", "is_default": False}
    versions = http.get("/versions").json()
    assert versions["queue"]["name"] in ("valkey", "redis")
    assert {each["takt"] for each in versions["workers"]} == {versions["gateway"]["takt"]}
    assert all("scikit-learn" in each["packages"] for each in versions["workers"])
    with admin(stack, OPERATOR) as operator:
        assert operator.get("/settings").status_code == 403
        assert operator.get("/versions").status_code == 200


def test_audit_sees_the_jobs_of_all_owners_and_changes_none(stack: Stack) -> None:
    with admin(stack, CALLER) as caller, admin(stack, AUDITOR) as auditor:
        job = caller.post("/jobs", json={"model": "iris", "inputs": [list(IRIS.values())]}).json()
        path = job["links"]["self"]
        assert auditor.get(path).status_code == 200
        assert job["id"] in {each["id"] for each in auditor.get("/jobs").json()["jobs"]}
        for method, url in (("POST", f"{path}/cancel"), ("DELETE", path), ("PATCH", path)):
            assert auditor.request(method, url, json={"priority": 9}).status_code == 403
