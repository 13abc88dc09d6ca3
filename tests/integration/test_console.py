"""The console in a real browser, on a running Takt, used by mouse and keyboard."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from redis.asyncio import Redis

from shared import keys
from shared.ledger import AsyncLedger, NewJob, new_job_id
from tests.support.access import Holder, holder, keep
from tests.support.browsers import PATIENCE_MS, Theme, Visitor, browser, chromium, visiting
from tests.support.callers import IRIS, finished, handed_over
from tests.support.polling import eventually
from tests.support.servers import Server, free_port
from tests.support.stack import Part, Stack, running

pytestmark = [pytest.mark.integration, pytest.mark.tools]

expect.set_options(timeout=PATIENCE_MS)
ROWS = 20_000
HEAD = "part,sepal_length,sepal_width,petal_length,petal_width\n"
CSV = HEAD + "".join(f"P-{n},{4.5 + n % 37 / 10:.1f},{2 + n % 23 / 10:.1f},1.4,0.2\n" for n in range(ROWS))
PLACES = ("", "#/jobs", "#/workers", "#/models/quality", "#/submit")
LOADING = re.compile("Loading…|불러오는 중…")


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser(chromium()) as started:
        yield started


@pytest.fixture
def visitor(window: Browser, stack: Stack) -> Iterator[Visitor]:
    """Whatever a test does: no error in the page, and no request to anybody but the gateway."""
    with visiting(window, stack.url) as opened:
        yield opened
        assert opened.errors == []
        assert opened.elsewhere == set()


@pytest.fixture
def patient(stack: Stack) -> Iterator[httpx.Client]:
    """A client that hands over large files."""
    with stack.client(timeout_s=120.0) as client:
        yield client


def uploaded(page: Page, content: str, name: str = "parts.csv", **fields: str) -> None:
    """Fill the form of a file."""
    page.get_by_label("Drop a file here").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content.encode()}
    )
    expect(page.get_by_label("Model", exact=True).locator("option[value=iris]")).to_be_attached()
    page.get_by_label("Model", exact=True).select_option("iris")
    for label, value in fields.items():
        page.get_by_label(label, exact=True).fill(value)


def paused_job(http: httpx.Client, worker: Part) -> str:
    """The id of a job that is paused before any of its rows has run."""
    rows = "IM-07,housing,day,A,226.5,60.2,47.3,910,29.8,2,false,2026-03-03T09:30:00Z\n" * 80_000
    names = "machine,product,shift,resin_lot,melt_temperature_c,mold_temperature_c,torque_nm,pressure_bar,"
    body = f"{names}cycle_time_s,operators,maintenance_due,produced_at\n{rows}".encode()
    with suspended(worker):
        place = handed_over(http, "quality", [body], "text/csv")
        assert http.post(f"{place}/pause").json()["state"] == "paused"
    return place.rpartition("/")[2]


@contextmanager
def suspended(worker: Part) -> Iterator[None]:
    """Nothing runs in the block."""
    worker.pause()
    try:
        yield
    finally:
        worker.go_on()


# -- a job's life ------------------------------------------------------------------------------------------


def test_a_file_is_submitted_watched_to_its_end_and_downloaded_byte_for_byte(
    visitor: Visitor, http: httpx.Client, tmp_path: Path
) -> None:
    page = visitor.open("#/submit")
    uploaded(page, CSV, **{"Reference": "from the browser", "Row id column": "part"})
    page.get_by_role("button", name="Submit", exact=True).click()
    page.get_by_role("link", name="Open the job").click()
    detail = page.get_by_role("region", name="from the browser")
    expect(detail.locator("header")).to_contain_text("Done")
    expect(detail).to_contain_text("20,000 of 20,000 rows")
    job_id = page.url.rpartition("/")[2]
    for name in ("csv", "parquet"):
        with page.expect_download() as coming:
            detail.get_by_role("link", name=f"Results as {name.upper()}").click()
        coming.value.save_as(tmp_path / name)
        wanted = http.get(f"/jobs/{job_id}/results", params={"format": name}).content
        assert (tmp_path / name).read_bytes() == wanted


def test_a_paused_job_says_why_it_waits_goes_on_and_is_canceled(
    visitor: Visitor, patient: httpx.Client, stack: Stack
) -> None:
    worker = stack.parts["worker"]
    job_id = paused_job(patient, worker)
    page = visitor.open(f"#/jobs/{job_id}")
    state = page.locator(".detail header")
    expect(state).to_contain_text("Paused")
    expect(page.locator(".detail")).to_contain_text("Why it waits: the job is paused")
    page.get_by_label("Priority, 0 to 9").fill("8")
    page.get_by_role("button", name="Set").click()
    eventually(lambda: patient.get(f"/jobs/{job_id}").json()["priority"] == 8, limit_s=60)
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep as it is").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    with suspended(worker):
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        page.get_by_role("button", name="Cancel job").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
        expect(state).to_contain_text("Canceled")
    assert finished(patient, f"/jobs/{job_id}", limit_s=60)["state"] == "canceled"


def test_a_file_is_checked_and_leaves_no_job(visitor: Visitor, http: httpx.Client) -> None:
    page = visitor.open("#/submit")
    uploaded(page, HEAD + "A,5.1,3.5,1.4,0.2\nB,5.1,3.5,140,0.2\n", Reference="only checked")
    page.get_by_role("button", name="Check only").click()
    expect(page.get_by_text("1 of 2 rows are invalid.")).to_be_visible()
    expect(page.get_by_role("table", name="First problems")).to_contain_text("petal_length")
    assert http.get("/jobs", params={"reference": "only checked"}).json()["jobs"] == []


def test_rows_that_failed_are_shown_with_their_reasons(visitor: Visitor, http: httpx.Client) -> None:
    body = HEAD + "A,5.1,3.5,1.4,0.2\n" * 20 + "B,5.1,3.5,140,0.2\n"
    place = handed_over(http, "iris", [body.encode()], "text/csv", max_errors="50%")
    finished(http, place)
    page = visitor.open(f"#{place}")
    rows = page.get_by_role("table", name="Failed rows")
    expect(rows).to_contain_text("petal_length")
    expect(page.locator(".detail")).to_contain_text("21 of 21 rows")


# -- models ------------------------------------------------------------------------------------------------


def test_a_try_out_answers_what_predict_answers_and_says_what_it_does_not_take(
    visitor: Visitor, http: httpx.Client
) -> None:
    page = visitor.open("#/models/iris")
    for name, value in IRIS.items():
        page.get_by_label(name, exact=True).fill(str(value))
    page.get_by_role("button", name="Predict").click()
    answer = http.post("/models/iris/predict", json=IRIS).json()
    expect(page.locator(".answers")).to_contain_text(answer["prediction"])
    page.get_by_label("petal_length", exact=True).fill("140")
    page.get_by_role("button", name="Predict").click()
    field = page.get_by_label("petal_length", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()


# -- the whole ---------------------------------------------------------------------------------------------


def test_the_overview_says_that_all_is_well_what_waits_and_who_works(visitor: Visitor) -> None:
    page = visitor.open()
    expect(page.locator(".verdict")).to_contain_text("Healthy")
    lanes = page.get_by_role("table", name="Waiting work")
    for model in ("classifier", "iris", "quality"):
        expect(lanes).to_contain_text(model)
    expect(page.get_by_role("region", name="Workers", exact=True)).to_contain_text("Serving")
    visitor.open("#/workers")
    expect(page.get_by_role("table", name="Workers")).to_contain_text("iris@1.0.0")


def test_the_restart_of_a_worker_and_its_reason_are_shown(visitor: Visitor, http: httpx.Client) -> None:
    [worker] = http.get("/workers").json()["workers"]
    os.kill(worker["pid"], signal.SIGKILL)
    page = visitor.open("#/workers")
    said = f"restarts. Last: {worker['id']} was killed by SIGKILL"
    expect(page.get_by_text(said)).to_be_visible()


def test_the_jobs_of_last_night_are_compared_with_those_of_other_nights(
    visitor: Visitor, stack_queue: Server
) -> None:
    """Five nights of ten jobs of about 16 s, and a last night with jobs of about two minutes."""
    client = stack_queue.client()
    today = datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0)
    last = today if datetime.now(UTC).hour >= 6 else today - timedelta(days=1)
    for back in range(6):
        hour = keys.hour(str(int((last - timedelta(days=back)).timestamp())))
        bucket = 8 if back else 14
        client.hset(hour, mapping={"night@1.0.0|jobs_succeeded": 10, f"night@1.0.0|took{bucket}": 10})
    try:
        nights = visitor.open().get_by_role("table", name="Jobs of last night")
        expect(nights).to_contain_text("night@1.0.0Longer than usual1002 min 32 s19 s")
    finally:
        for name in client.keys(keys.hour("*")):
            client.delete(name)


def test_language_and_colours_are_remembered(visitor: Visitor) -> None:
    page = visitor.open()
    page.get_by_role("button", name="한국어").click()
    expect(page.get_by_role("navigation", name="메뉴")).to_contain_text("현황작업워커모델파일 등록")
    page.get_by_label("화면 색").select_option("dark")
    page.reload()
    expect(page.locator(".verdict")).to_contain_text(re.compile("정상|주의"))
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_the_reason_of_a_failure_is_in_the_language_of_the_page(visitor: Visitor, http: httpx.Client) -> None:
    invalid = f"{HEAD}P-1,not a number,1,1,1\n".encode()
    query = {"model": "iris", "max_errors": "0"}
    submitted = http.post("/jobs", params=query, content=invalid, headers={"content-type": "text/csv"})
    page = visitor.open(f"#{submitted.headers['location']}")
    expect(page.locator(".detail")).to_contain_text("1 rows failed, more than max_errors allows.")
    page.get_by_role("button", name="한국어").click()
    expect(page.locator(".detail")).to_contain_text(
        "실패 이유: 실패한 행이 허용치를 넘었습니다 (1 rows failed"
    )


def test_a_job_is_found_and_canceled_by_keyboard_alone(
    visitor: Visitor, patient: httpx.Client, stack: Stack
) -> None:
    job_id = paused_job(patient, stack.parts["worker"])
    page = visitor.open()
    tab_to(page, "Skip to content")
    tab_to(page, "Jobs")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    expect(page.locator(f'a[href="#/jobs/{job_id}"]')).to_be_visible()
    tab_to(page, job_id[:8])
    page.keyboard.press("Enter")
    expect(page.locator(".detail header")).to_contain_text("Paused")
    tab_to(page, "Cancel job")
    page.keyboard.press("Enter")
    tab_to(page, "Cancel job")
    page.keyboard.press("Enter")
    expect(page.locator(".detail header")).to_contain_text("Canceled")
    page.keyboard.press("Escape")
    expect(page.locator(".detail")).to_have_count(0)
    assert finished(patient, f"/jobs/{job_id}", limit_s=60)["state"] == "canceled"


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element with this text has the focus."""
    seen = []
    for _ in range(80):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim()"))
        if seen[-1] == name:
            return
    raise AssertionError(f"Tab never came to {name!r}; it went {seen}")


def test_a_gateway_that_is_gone_is_said_and_so_is_its_return(window: Browser, stack: Stack) -> None:
    with visiting(window, stack.url) as visitor:
        page = visitor.open()
        known = re.compile("Healthy|Warning")  # another test may have ended a worker
        expect(page.locator(".verdict")).to_contain_text(known)
        visitor.context.set_offline(True)
        expect(page.get_by_text("No connection to the gateway.")).to_be_visible()
        expect(page.locator(".verdict")).to_contain_text("No data")
        visitor.context.set_offline(False)
        expect(page.get_by_text("No connection to the gateway.")).to_be_hidden()
        expect(page.locator(".verdict")).to_contain_text(known)


@pytest.mark.parametrize(
    ("language", "theme", "width"),
    [("en-GB", "light", 1280), ("ko-KR", "dark", 390), ("en-GB", "dark", 820), ("ko-KR", "light", 3840)],
)
def test_no_view_keeps_anybody_out(
    window: Browser, stack: Stack, http: httpx.Client, *, language: str, theme: Theme, width: int
) -> None:
    job = http.post("/jobs", json={"model": "iris", "inputs": [[5, 3, 1, 0.2]]}).headers["Location"]
    finished(http, job)
    found: list[str] = []
    with visiting(window, stack.url, language=language, theme=theme, width=width) as one:
        for place in (*PLACES, f"#{job}"):
            page = one.open(place)
            page.reload()
            expect(page.locator("main h1")).to_be_attached()
            expect(
                page.locator("main .empty:visible", has_text=re.compile("Loading|불러오는"))
            ).to_have_count(0)
            found += [f"{place}: {barrier}" for barrier in one.barriers()]
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"{place} is {wide} px wider than the window"
    assert found == []


# -- many jobs, and keys -----------------------------------------------------------------------------------

MANY = 10_000
MOST_NODES = 1500
"""Of the whole page: a row of the list has about twenty."""


def apart(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a thread: Playwright's synchronous form holds this one's event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def opened(url: str, jobs: int) -> None:
    """Jobs that nobody runs, oldest first."""
    async with Redis.from_url(url) as client:
        ledger = AsyncLedger(client, lambda *_: None, lease_s=3600)
        for _ in range(0, jobs, 50):
            await asyncio.gather(*(ledger.open_job(new_job()) for _ in range(50)))


def new_job() -> NewJob:
    return NewJob(id=new_job_id(), model="iris", version="1.0.0", digest="", owner="anonymous")


@pytest.fixture(scope="module")
def busy(queue: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway alone, with 10,000 jobs; and another that asks for keys."""
    with running(queue.url, tmp_path_factory.mktemp("busy")) as started:
        started.gateway()
        started.gateway("keyed", port=free_port(), access="keys")
        apart(opened(queue.url, MANY))
        yield started


def scrolled(page: Page, loaded: int) -> bool:
    """Whether so many jobs are loaded; else scroll to the end again."""
    foot = page.locator(".table-foot").inner_text()
    if f"{loaded - 100:,} loaded." in foot:
        page.locator(".table-window").evaluate("window => window.scrollTo(0, window.scrollHeight)")
    return f"{loaded:,} loaded." in foot


def test_ten_thousand_jobs_are_a_few_rows_and_a_few_requests(window: Browser, busy: Stack) -> None:
    with visiting(window, busy.url) as visitor:
        page = visitor.open("#/jobs")
        rows = page.locator("tr.job")
        expect(rows.first).to_be_visible()
        assert len([url for url in visitor.requests if "/jobs?limit=100" in url]) == 1
        before = len(visitor.requests)
        for loaded in range(200, 1001, 100):
            eventually(partial(scrolled, page, loaded), every_s=0.5, limit_s=60)
        pages = [url for url in visitor.requests[before:] if "cursor=" in url]
        assert len(pages) == 9
        assert rows.count() < 60
        assert page.evaluate("document.querySelectorAll('*').length") < MOST_NODES
        assert int(page.get_by_role("table").get_attribute("aria-rowcount") or 0) == 1001
        assert visitor.errors == []


def test_a_key_is_asked_for_once_kept_in_the_tab_and_sent_with_everything(
    window: Browser, busy: Stack, queue: Server
) -> None:
    reader = holder("console", "read", "submit", "predict")
    apart(kept(queue.url, reader))
    with visiting(window, busy.parts["keyed"].url) as visitor:
        page = visitor.open("#/jobs")
        field = page.get_by_role("dialog").get_by_label("Key")
        field.fill("takt_wrong")
        page.get_by_role("button", name="Use this key").click()
        expect(page.get_by_text("The gateway rejected this key.")).to_be_visible()
        field.fill(reader.token)
        page.get_by_role("button", name="Use this key").click()
        none = page.get_by_role("region", name="Jobs").get_by_role("status")
        expect(none).to_contain_text("There are no jobs yet.")
        expect(none).to_contain_text("Your key sees only the jobs of console.")
        page.reload()
        expect(none).to_contain_text("Your key sees only the jobs of console.")
        expect(page.get_by_role("dialog")).to_have_count(0)
        stored = page.evaluate("[Object.values(sessionStorage), JSON.stringify(localStorage)]")
        assert stored[0] == [reader.token]
        assert reader.token not in stored[1]
        assert all(reader.token not in url for url in visitor.requests)
        assert visitor.errors == []


def test_with_a_key_a_file_is_saved_by_a_link_that_does_not_hold_it(
    window: Browser, busy: Stack, queue: Server, tmp_path: Path
) -> None:
    owner = holder("saver", "read", "submit")
    apart(kept(queue.url, owner))
    gateway = busy.parts["keyed"].url
    with httpx.Client(base_url=gateway, headers=owner.headers, timeout=30.0) as http:
        eventually(lambda: http.get("/jobs").status_code == 200, limit_s=30)
        job = http.post("/jobs", json={"model": "iris", "inputs": [IRIS]}).json()["links"]["self"]
        assert http.post(f"{job}/cancel").json()["state"] == "canceled"
        with visiting(window, gateway) as visitor:
            page = visitor.open(f"#{job}")
            page.get_by_role("dialog").get_by_label("Key").fill(owner.token)
            page.get_by_role("button", name="Use this key").click()
            files = {"Results so far as CSV": "results?format=csv&partial=true", "Manifest": "manifest"}
            for link, file in files.items():
                with page.expect_download() as coming:
                    page.get_by_role("link", name=link, exact=True).click()
                assert coming.value.url.startswith(f"{gateway}{job}/{file}")
                assert "ticket=" in coming.value.url
                assert owner.token not in coming.value.url
                coming.value.save_as(tmp_path / "saved")
                assert (tmp_path / "saved").read_bytes() == http.get(f"{job}/{file}").content
            assert visitor.errors == []


async def kept(url: str, *holders: Holder) -> None:
    async with Redis.from_url(url) as client:
        await keep(client, *holders)


def test_the_failed_rows_of_a_job_are_retried_and_the_owner_is_shown(
    window: Browser, stack: Stack, http: httpx.Client
) -> None:
    body = "\n".join(["sepal_length,sepal_width,petal_length,petal_width", "5.1,3.5,1.4,0.2", "999,3,1,0.2"])
    place = handed_over(http, "iris", [body.encode()], "text/csv")
    job = finished(http, place)
    assert job["rows_failed"] == 1
    with visiting(window, stack.url) as visitor:
        page = visitor.open(f"#/jobs/{job['id']}")
        version = page.get_by_label("Run again on version")
        expect(version).to_have_value("1.0.0")
        page.get_by_label("with priority").fill("8")
        page.get_by_role("button", name="Retry failed rows").click()
        expect(page.locator(".detail")).to_contain_text("Retry of")
        retried = http.get(f"/jobs/{page.url.rpartition('/')[2]}").json()
        assert (retried["retry_of"], retried["rows_total"], retried["priority"]) == (job["id"], 1, 8)
        assert visitor.errors == []


def test_the_jobs_of_a_filter_are_deleted_together(window: Browser, stack: Stack, http: httpx.Client) -> None:
    for _ in range(3):
        answer = http.post("/jobs", json={"model": "iris", "inputs": [IRIS], "tags": ["to-be-deleted"]})
        finished(http, f"/jobs/{answer.json()['id']}")
    with visiting(window, stack.url) as visitor:
        page = visitor.open("#/jobs")
        page.get_by_label("Id, reference or tag").fill("to-be-deleted")
        page.keyboard.press("Enter")
        expect(page.locator("tr.job")).to_have_count(3)
        page.get_by_role("combobox", name="All jobs of this filter").select_option("delete")
        page.get_by_role("button", name="Apply…").click()
        expect(page.get_by_role("dialog")).to_contain_text("Delete: 3 jobs?")
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_text("Done for 3 jobs.")).to_be_visible()
        expect(page.locator("tr.job")).to_have_count(0)
        assert visitor.errors == []
