"""What operators do in the console, in a real browser, with a key of the role and with one that reads."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from shared import keys as spelled
from shared.dead_letters import DeadLetters, LetterKind, Unreadable
from tests.support.access import Holder, holder, keep_now
from tests.support.browsers import PATIENCE_MS, browser, chromium, signed_in
from tests.support.callers import IRIS
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.tools, pytest.mark.timeout(300)]

expect.set_options(timeout=PATIENCE_MS)
PHONE = 390
ADMIN, OPERATOR = (holder(role, role) for role in ("admin", "operate"))
READER, AUDITOR = (holder(role, role) for role in ("read", "audit"))


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser(chromium()) as started:
        yield started


@pytest.fixture(scope="module")
def stack(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway that requires keys, and two workers."""
    with queue.client() as client:
        keep_now(client, ADMIN, OPERATOR, READER, AUDITOR)
    with running(queue.url, tmp_path_factory.mktemp("stack"), access="keys", models="iris") as started:
        started.gateway()
        started.worker("w1", workers="2")
        wait_until_ready(started)
        yield started


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=30, headers=ADMIN.headers) as client:
        eventually(lambda: len(served(client)) == 2, limit_s=60)
        yield client


def served(http: httpx.Client) -> dict[str, dict[str, Any]]:
    found = http.get("/workers").raise_for_status().json()["workers"]
    return {each["name"]: each for each in found if each["state"] == "serving" or each["drained"]}


def ids(http: httpx.Client) -> set[str]:
    return {each["id"] for each in served(http).values()}


def confirm(page: Page, button: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=button).click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def panel(page: Page, title: str) -> Any:
    return page.get_by_role("region", name=title, exact=True)


# -- workers -----------------------------------------------------------------------------------------------


def test_a_worker_is_taken_out_and_put_back(window: Browser, stack: Stack, http: httpx.Client) -> None:
    with signed_in(window, stack.url, OPERATOR, "#/workers") as visitor:
        page = visitor.page
        row = page.get_by_role("row", name="w1/1")
        row.get_by_role("button", name="Drain").click()
        page.get_by_role("dialog").get_by_role("button", name="Keep as it is").click()
        assert not served(http)["w1/1"]["drained"]
        row.get_by_role("button", name="Drain").click()
        confirm(page, "Drain")
        expect(row).to_contain_text("Drained")
        assert served(http)["w1/1"]["drained"]
        assert not served(http)["w1/0"]["drained"]
        row.get_by_role("button", name="Return to service").click()
        expect(row).to_contain_text("Serving")
        eventually(lambda: not served(http)["w1/1"]["drained"], limit_s=30)


def test_a_worker_is_restarted(window: Browser, stack: Stack, http: httpx.Client) -> None:
    before = served(http)["w1/0"]["id"]
    with signed_in(window, stack.url, OPERATOR, "#/workers") as visitor:
        page = visitor.page
        page.get_by_role("button", name="Restart w1/0").first.click()
        confirm(page, "Restart")
        expect(page.get_by_text("w1/0 restarts.")).to_be_visible()
        eventually(lambda: before not in ids(http) and len(ids(http)) == 2, limit_s=60)


@pytest.mark.parametrize("key", [OPERATOR, AUDITOR], ids=["operate", "audit"])
def test_a_workers_log_and_stacks_are_shown(
    window: Browser, stack: Stack, http: httpx.Client, key: Holder
) -> None:
    with signed_in(window, stack.url, key, "#/workers") as visitor:
        page = visitor.page
        row = page.get_by_role("row", name="w1/1")
        expect(row.get_by_role("cell").nth(5)).to_have_text(re.compile(r"^\d+%$"))
        page.get_by_role("button", name="Inspect w1/1").click()
        inspection = panel(page, "w1/1: log and stacks")
        expect(inspection.get_by_role("list", name="Log")).to_contain_text(re.compile("order=log"))
        assert visitor.barriers() == []
        inspection.get_by_role("button", name="Stacks").click()
        expect(inspection).to_contain_text("Thread engine")
        expect(inspection).to_contain_text("worker/execution/engine.py")
        inspection.get_by_role("button", name="Close").click()
        expect(inspection).to_have_count(0)


def test_a_gpu_is_shown_with_its_use(window: Browser, stack: Stack, http: httpx.Client) -> None:
    """The gateway's answer with a GPU, because this machine has none."""
    answer = http.get("/workers").json()
    sizes = {"used_bytes": 10 * 2**30, "total_bytes": 80 * 2**30, "own_bytes": 4 * 2**30}
    answer["workers"][0] |= {"device": "cuda:0", "gpu": {"utilization_percent": 87} | sizes}
    with signed_in(window, stack.url, OPERATOR, "") as visitor:
        visitor.page.route("**/workers", lambda route: route.fulfill(json=answer))
        visitor.open("#/workers")
        row = visitor.page.get_by_role("row", name=answer["workers"][0]["name"])
        expect(row).to_contain_text("cuda:0")
        expect(row).to_contain_text("87% · 10 GiB of 80 GiB")


def test_a_key_that_only_reads_gets_no_buttons_and_no_administration(
    window: Browser, stack: Stack, http: httpx.Client
) -> None:
    with signed_in(window, stack.url, READER, "#/workers") as visitor:
        page = visitor.page
        expect(page.get_by_role("row", name="w1/1")).to_be_visible()
        for name in ("Drain", "Restart", "Return to service", "Inspect"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
        expect(page.get_by_role("link", name="Administration")).to_have_count(0)
        visitor.open("#/admin")
        expect(page.get_by_text("Your key does not allow this.")).to_be_visible()


# -- administration ----------------------------------------------------------------------------------------


def test_a_dead_letter_is_put_back_and_another_dropped(window: Browser, stack: Stack, queue: Server) -> None:
    with queue.client() as client, signed_in(window, stack.url, OPERATOR, "#/workers") as visitor:
        letters = DeadLetters(client)
        for place in ("iris@1.0.0/1-0", "iris@1.0.0/2-0"):
            letters.set_aside(
                Unreadable(
                    kind=LetterKind.DOORBELL,
                    place=place,
                    reason="not MessagePack",
                    model="none@1.0.0",
                    data=b"\xc1",
                )
            )
        first, second = (letter.id for letter in letters.newest(2))
        page = visitor.page
        page.get_by_role("link", name="Administration").click()
        expect(panel(page, "Dead letters")).to_contain_text("not MessagePack")
        page.get_by_role("button", name=f"Requeue {first}").click()
        expect(page.get_by_text("Requeued: job notice · none@1.0.0.")).to_be_visible()
        queued = client.lrange(spelled.offline_queue(spelled.model_key("none", "1.0.0")), 0, -1)
        assert queued == [b"\xc1"]
        page.get_by_role("button", name=f"Drop {second}").click()
        confirm(page, "Drop")
        expect(panel(page, "Dead letters")).to_contain_text("There are no dead letters.")
        assert not letters.newest(10)


def test_a_key_is_created_shown_once_and_revoked(window: Browser, stack: Stack) -> None:
    with signed_in(window, stack.url, ADMIN, "#/admin") as visitor:
        page = visitor.page
        page.get_by_label("Owner").fill("line-7")
        page.get_by_label("Lifetime, such as 90d").fill("30d")
        page.get_by_label("submit", exact=True).uncheck()
        page.get_by_role("button", name="Create key").click()
        token = page.locator(".token").inner_text()
        headers = {"authorization": f"Bearer {token}"}
        assert httpx.get(f"{stack.url}/jobs", headers=headers).status_code == 200
        row = page.get_by_role("row", name="line-7")
        expect(row).to_contain_text("predict, read")
        page.reload()
        expect(row).to_contain_text("Valid")
        assert token not in page.content()
        row.get_by_role("button", name="Revoke").click()
        confirm(page, "Revoke")
        expect(row).to_contain_text("Revoked")
        eventually(lambda: httpx.get(f"{stack.url}/jobs", headers=headers).status_code == 401, limit_s=10)


def test_a_wrong_key_request_says_why(window: Browser, stack: Stack) -> None:
    with signed_in(window, stack.url, ADMIN, "#/admin") as visitor:
        page = visitor.page
        page.get_by_label("Owner").fill("line-8")
        page.get_by_label("Lifetime, such as 90d").fill("soon")
        page.get_by_role("button", name="Create key").click()
        expect(page.locator("main > div > .stack > .note")).to_contain_text("soon")
        expect(page.get_by_role("row", name="line-8")).to_have_count(0)


def test_storage_is_shown_and_objects_without_a_job_are_cleaned(
    window: Browser, stack: Stack, http: httpx.Client, queue: Server
) -> None:
    orphan = stack.folder / "payloads" / ("0" * 32) / "in"
    orphan.mkdir(parents=True)
    (orphan / "00000000").write_bytes(b"x" * 2048)
    long_ago = time.time() - 10 * 86_400
    os.utime(orphan / "00000000", (long_ago, long_ago))
    with signed_in(window, stack.url, OPERATOR, "#/admin") as visitor:
        page = visitor.page
        storage = panel(page, "Storage")
        expect(storage).to_contain_text("0" * 32)
        expect(storage).to_contain_text("2 KiB")
        storage.get_by_role("button", name="Clean").click()
        confirm(page, "Clean")
        # the ledger of a new queue is young: the gateway keeps the objects, and the page says why
        expect(page.get_by_text(re.compile("may have been emptied or replaced"))).to_be_visible()


def test_cleaned_objects_are_counted_and_gone(window: Browser, stack: Stack, queue: Server) -> None:
    long_ago = time.time() - 3 * 86_400  # workers remove objects only after the retention of jobs, 7 days
    orphans = [stack.folder / "payloads" / (digit * 32) for digit in "12"]
    for orphan in orphans:
        (orphan / "in").mkdir(parents=True)
        (orphan / "in" / "00000000").write_bytes(b"x" * 2048)
        for path in (orphan / "in" / "00000000", orphan / "in", orphan):
            os.utime(path, (long_ago, long_ago))
    with queue.client() as client, signed_in(window, stack.url, OPERATOR, "#/admin") as visitor:
        born = client.get(spelled.born())
        client.set(spelled.born(), round(long_ago * 1000))
        try:
            page = visitor.page
            storage = panel(page, "Storage")
            expect(storage).to_contain_text("1" * 32)
            storage.get_by_role("button", name="Clean").click()
            confirm(page, "Clean")
            words = "Objects of 2 jobs deleted: 4 KiB."
            expect(page.get_by_role("status").filter(has_text="deleted")).to_have_text(words)
            expect(storage).not_to_contain_text("1" * 32)
        finally:
            client.set(spelled.born(), born or round(time.time() * 1000))
    assert not any(orphan.exists() for orphan in orphans)


# -- jobs --------------------------------------------------------------------------------------------------


def test_the_timeline_of_a_job_shows_its_orders_and_their_caller(
    window: Browser, stack: Stack, http: httpx.Client
) -> None:
    http.post("/workers/w1/drain").raise_for_status()
    eventually(lambda: all(each["drained"] for each in served(http).values()), limit_s=60)
    answer = http.post("/jobs", json={"model": "iris", "inputs": [IRIS, IRIS]})
    job_id = answer.raise_for_status().json()["id"]
    with signed_in(window, stack.url, ADMIN, f"#/jobs/{job_id}") as visitor:
        page = visitor.page
        timeline = page.get_by_role("list", name="Timeline")
        expect(timeline.get_by_role("listitem")).to_have_count(1)
        expect(timeline).to_contain_text("Submitted · by admin")
        page.get_by_role("button", name="Pause").click()
        expect(timeline).to_contain_text("Paused · by admin")
        page.get_by_label("Priority, 0 to 9").fill("8")
        page.get_by_role("button", name="Set").click()
        expect(timeline).to_contain_text("Priority changed to 8 · by admin")
        page.get_by_role("button", name="Resume").click()
        expect(timeline).to_contain_text("Resumed · by admin")
        http.post("/workers/w1/undrain").raise_for_status()
        expect(timeline).to_contain_text("Started after")
        expect(timeline.get_by_role("listitem").last).to_contain_text("Done: 2 rows")
        assert visitor.barriers() == []
    with signed_in(window, stack.url, ADMIN, f"#/jobs/{job_id}", language="ko-KR") as visitor:
        korean = visitor.page.get_by_role("list", name="처리 과정")
        for words in (
            "접수됨 · admin",
            "일시 정지됨 · admin",
            "우선순위를 8(으)로 변경 · admin",
            "완료: 2행",
        ):
            expect(korean).to_contain_text(words)


def test_an_auditor_sees_versions_and_settings_and_changes_nothing(window: Browser, stack: Stack) -> None:
    with signed_in(window, stack.url, AUDITOR, "#/admin") as visitor:
        page = visitor.page
        expect(panel(page, "Versions")).to_contain_text("This gateway")
        expect(panel(page, "Versions")).to_contain_text("fastapi")
        expect(panel(page, "Settings in force")).to_contain_text("TAKT_ACCESS")
        expect(panel(page, "API keys")).to_contain_text("operate")
        for name in ("Create key", "Revoke", "Requeue", "Drop", "Clean"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)


def test_an_operator_sees_no_keys_and_no_settings(window: Browser, stack: Stack) -> None:
    with signed_in(window, stack.url, OPERATOR, "#/admin") as visitor:
        expect(panel(visitor.page, "Versions")).to_contain_text("This gateway")
        expect(panel(visitor.page, "API keys")).to_have_count(0)
        expect(panel(visitor.page, "Settings in force")).to_have_count(0)


# -- everybody ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "width"), [("en-GB", 1280), ("ko-KR", PHONE)])
def test_the_pages_of_operators_keep_nobody_out(
    window: Browser, stack: Stack, http: httpx.Client, language: str, width: int
) -> None:
    found: list[str] = []
    for place in ("#/workers", "#/admin"):
        with signed_in(window, stack.url, ADMIN, place, language=language, width=width) as visitor:
            page = visitor.page
            expect(page.locator("main h1")).to_be_attached()
            loading = page.locator("main .empty:visible", has_text=re.compile("Loading|불러오는"))
            expect(loading).to_have_count(0)
            found += [f"{place}: {barrier}" for barrier in visitor.barriers()]
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{place} is {wide} px wider than the window"
    assert found == []
