"""An operator does all tasks by the texts of the console, without an address or a shell."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from shared.dead_letters import DeadLetters, LetterKind, Unreadable
from tests.support.access import holder, keep_now
from tests.support.browsers import PATIENCE_MS, browser, chromium, visiting
from tests.support.callers import IRIS, finished, handed_over
from tests.support.model_folders import build_iris
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import STARTS_S, Stack, running

pytestmark = [pytest.mark.integration, pytest.mark.tools, pytest.mark.timeout(300)]

expect.set_options(timeout=PATIENCE_MS)
OLD, NEW = "1.0.0", "1.1.0"
LIMIT_BYTES = 16 * 2**20
ADMIN, LINE, LEFT = holder("boss", "admin"), holder("line-3", "submit", "read"), holder("intern", "read")
CSV = b"sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6,3,140,0.2\n"


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser(chromium()) as started:
        yield started


@pytest.fixture(scope="module")
def stack(queue: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway that requires keys, two workers with two versions, a job with a failed row, a dead letter."""
    folder = tmp_path_factory.mktemp("walk")
    root = build_iris(tmp_path_factory.mktemp("models"), OLD, NEW)
    settings = {"models_dir": str(root), "access": "keys", "max_stored_bytes": str(LIMIT_BYTES)}
    with queue.client() as client:
        keep_now(client, ADMIN, LINE, LEFT)
        letter = Unreadable(kind=LetterKind.DOORBELL, place="a", reason="not MessagePack", data=b"\xc1")
        DeadLetters(client).set_aside(letter)
    with running(queue.url, folder, **settings) as started:
        started.gateway()
        started.worker("w1", workers="2", wait=False)
        with client_of(started, ADMIN.token) as http:
            for default in (OLD, NEW):
                target = {"wanted": [OLD, NEW], "default": default}
                http.put("/models/iris/deployment", json=target).raise_for_status()
            eventually(lambda: served(http) == (NEW, [2, 2]), limit_s=STARTS_S)
        yield started


def client_of(stack: Stack, token: str) -> httpx.Client:
    return httpx.Client(base_url=stack.url, timeout=30, headers={"authorization": f"Bearer {token}"})


def served(http: httpx.Client) -> tuple[str, list[int]]:
    """The default version that is served, and how many workers hold each version."""
    found = http.get("/models/iris/deployment").raise_for_status().json()
    return found["serves"], [len(one["workers"]) for one in found["versions"]]


def confirm(page: Page, button: str, says: str = "") -> None:
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(says)
    dialog.get_by_role("button", name=button).click()
    expect(dialog).to_have_count(0)


def go(page: Page, section: str) -> None:
    page.get_by_role("navigation", name="Sections").get_by_role("link", name=section).click()


def worker(page: Page, name: str) -> Locator:
    return page.get_by_role("table", name="Workers").get_by_role("row", name=name)


def drain(page: Page, name: str, says: str = "") -> None:
    worker(page, name).get_by_role("button", name="Drain").click()
    confirm(page, "Drain", says)
    expect(worker(page, name)).to_contain_text("Drained")


def undrain(page: Page, name: str) -> None:
    worker(page, name).get_by_role("button", name="Return to service").click()
    expect(worker(page, name)).to_contain_text("Serving")


def test_an_operator_does_all_tasks_by_the_texts_of_the_console(window: Browser, stack: Stack) -> None:
    with client_of(stack, LINE.token) as line, visiting(window, stack.url) as visitor:
        finished(line, handed_over(line, "iris", [CSV], "text/csv", reference="lot-4711", max_errors="1"))
        page = visitor.open()
        sign_in(page)
        retry_the_failed_rows_of_a_job(page)
        take_a_worker_out_and_back(page)
        put_back_a_dead_letter(page)
        roll_back_a_model(page)
        revoke_a_key(page, stack)
        say_why_nothing_moves(page, stack, line)
        assert visitor.errors == []
        assert visitor.elsewhere == set()


def sign_in(page: Page) -> None:
    page.get_by_label("Key", exact=True).fill(ADMIN.token)
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("button", name="API key: boss")).to_be_focused()


def retry_the_failed_rows_of_a_job(page: Page) -> None:
    go(page, "Jobs")
    page.get_by_label("Id, reference or tag").press_sequentially("lot-47")
    row = page.get_by_role("row", name="lot-4711")
    expect(row).to_contain_text("line-3")
    expect(row).to_contain_text("Done, failures")
    page.get_by_role("link", name="lot-4711").click()
    detail = page.get_by_role("region", name="lot-4711")
    expect(detail).to_contain_text("Ownerline-3")
    expect(detail).to_contain_text("2 of 2 rows · 100% · 1 failed")
    detail.get_by_role("button", name="Retry failed rows").click()
    expect(detail).to_contain_text("This new job runs the failed rows of lot-4711 again on iris 1.1.0.")
    expect(detail).to_contain_text("Retry of")
    page.keyboard.press("Escape")
    expect(detail).to_have_count(0)
    expect(page.get_by_label("Id, reference or tag")).to_have_value("lot-47")


def take_a_worker_out_and_back(page: Page) -> None:
    go(page, "Workers")
    drain(page, "w1/1", "takes no new work")
    expect(page.get_by_text("w1/1 drains: it takes no new work.")).to_be_visible()
    expect(worker(page, "w1/0")).to_contain_text("Serving")
    undrain(page, "w1/1")


def put_back_a_dead_letter(page: Page) -> None:
    go(page, "Overview")
    page.get_by_role("link", name=re.compile("could not be read and were set aside")).click()
    letters = page.get_by_role("region", name="Dead letters")
    expect(letters).to_contain_text("job notice")
    letters.get_by_role("button", name="Requeue").click()
    expect(page.get_by_text("Requeued: job notice")).to_be_visible()


def roll_back_a_model(page: Page) -> None:
    go(page, "Models")
    page.get_by_role("link", name="iris").first.click()
    expect(page.get_by_role("heading", name=f"iris {NEW}")).to_be_visible()
    page.get_by_role("button", name=f"Roll back to {OLD}").click()
    confirm(page, "Roll back", f"Serve {OLD} instead of {NEW} to all requests?")
    expect(page.get_by_text(f"{OLD} is the default again.")).to_be_visible()
    expect(page.get_by_role("heading", name=f"iris {OLD}")).to_be_visible()
    expect(page.get_by_role("button", name=f"Roll back to {NEW}")).to_be_focused()


def revoke_a_key(page: Page, stack: Stack) -> None:
    go(page, "Administration")
    keys = page.get_by_role("table", name="API keys")
    expect(keys.get_by_role("row", name="boss")).to_contain_text("(this key)")
    row = keys.get_by_role("row", name="intern")
    row.get_by_role("button", name="Revoke").click()
    confirm(page, "Revoke", "of intern?")
    expect(row).to_contain_text("Revoked")
    with client_of(stack, LEFT.token) as left:
        eventually(lambda: left.get("/jobs").status_code == 401, limit_s=10)


def say_why_nothing_moves(page: Page, stack: Stack, line: httpx.Client) -> None:
    with drained(page):
        waits(page, line, "lot-1", "All 2 workers are drained", "the workers that hold it are drained")
    with stopped(stack):
        waits(page, line, "lot-2", "No worker is connected", "no worker has this model version loaded")
    with full(stack.folder / "payloads"):
        go(page, "Overview")
        expect(page.get_by_role("link", name=re.compile("Jobs are rejected"))).to_be_visible()
    expect(page.get_by_role("region", name="Overview")).not_to_contain_text("Jobs are rejected")


def waits(page: Page, line: httpx.Client, reference: str, verdict: str, reason: str) -> None:
    """The overview shows the condition, and the job shows why it waits."""
    job = {"model": "iris", "reference": reference, "inputs": [IRIS]}
    line.post("/jobs", json=job).raise_for_status()
    go(page, "Overview")
    expect(page.get_by_role("link", name=re.compile(verdict))).to_be_visible()
    progress = page.get_by_role("region", name="Jobs in progress")
    expect(progress).to_contain_text(reason)
    progress.get_by_role("link", name=reference).click()
    expect(page.get_by_role("region", name=reference)).to_contain_text(f"Why it waits: {reason}")


@contextmanager
def drained(page: Page) -> Iterator[None]:
    go(page, "Workers")
    drain(page, "w1/0")
    drain(page, "w1/1", "No other worker serves: predictions stop until a worker serves again.")
    yield
    go(page, "Overview")
    page.get_by_role("link", name=re.compile("workers are drained")).click()
    undrain(page, "w1/0")
    undrain(page, "w1/1")


@contextmanager
def stopped(stack: Stack) -> Iterator[None]:
    """No worker answers, as on a machine that hangs."""
    stack.parts["w1"].pause()
    try:
        yield
    finally:
        stack.parts["w1"].go_on()


@contextmanager
def full(payloads: Path) -> Iterator[None]:
    junk = payloads / "junk"
    junk.mkdir()
    with (junk / "0").open("wb") as file:
        file.truncate(LIMIT_BYTES)
    try:
        yield
    finally:
        shutil.rmtree(junk)
