"""Deployments in the console, in a real browser: deploy, roll back, and the picture of a rollout."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.access import holder, keep_now
from tests.support.browsers import PATIENCE_MS, Visitor, browser, chromium, signed_in
from tests.support.callers import IRIS, finished
from tests.support.model_folders import build_iris
from tests.support.polling import eventually
from tests.support.servers import Server
from tests.support.stack import Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.tools, pytest.mark.timeout(300)]

expect.set_options(timeout=PATIENCE_MS)
PHONE = 390
OLD, NEW = "1.0.0", "1.1.0"
DEPLOYER = holder("deployer", "deploy", "read", "predict", "submit")
READER = holder("reader", "read")


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser(chromium()) as started:
        yield started


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """iris in two versions."""
    return build_iris(tmp_path_factory.mktemp("models"), OLD, NEW)


@pytest.fixture(scope="module")
def stack(queue: Server, versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway that requires keys, and a worker."""
    with queue.client() as client:
        keep_now(client, DEPLOYER, READER)
    folder = tmp_path_factory.mktemp("stack")
    with running(queue.url, folder, models_dir=str(versions), access="keys") as started:
        started.gateway()
        started.worker("w1")
        wait_until_ready(started)
        yield started


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    """Before each test, both versions are held, and the old version gets all requests."""
    with httpx.Client(base_url=stack.url, timeout=30, headers=DEPLOYER.headers) as client:
        target = {"wanted": [OLD, NEW], "default": OLD}
        client.put("/models/iris/deployment", json=target).raise_for_status()
        eventually(lambda: {one["state"] for one in deployment(client)["versions"]} == {"held"}, limit_s=60)
        yield client


@pytest.fixture
def visitor(window: Browser, stack: Stack, http: httpx.Client) -> Iterator[Visitor]:
    with signed_in(window, stack.url, DEPLOYER, "#/models/iris") as opened:
        yield opened


def deployment(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/models/iris/deployment").raise_for_status().json()
    return found


def confirm(page: Page, button: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=button).click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def panel(page: Page) -> Any:
    return page.get_by_role("region", name="Deployment", exact=True)


@contextmanager
def requests(stack: Stack) -> Iterator[None]:
    """Predictions one after the other, in a thread, until the block ends."""
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=stack.url, timeout=30, headers=DEPLOYER.headers) as client:
            while not over.is_set():
                client.post("/predict", json=IRIS)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_version_is_deployed_to_some_requests_then_to_all_and_rolled_back(
    visitor: Visitor, http: httpx.Client
) -> None:
    page = visitor.page
    page.get_by_label("Version", exact=True).select_option(NEW)
    page.get_by_label("Percent of the requests").fill("10")
    page.get_by_role("button", name="Deploy version").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"Serve {NEW} to 10 % of the requests?")
    confirm(page, "Deploy version")
    expect(panel(page)).to_contain_text(f"{OLD}: 90 %, {NEW}: 10 %")
    assert deployment(http)["split"] == {OLD: 90, NEW: 10}
    page.get_by_label("Percent of the requests").fill("")
    page.get_by_role("button", name="Deploy version").click()
    confirm(page, "Deploy version")
    expect(panel(page)).to_contain_text(f"Default version{NEW}")
    assert (deployment(http)["default"], deployment(http)["split"]) == (NEW, {})
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"Serve {OLD} instead of {NEW} to all requests?")
    confirm(page, "Roll back")
    expect(panel(page)).to_contain_text(f"Default version{OLD}")
    assert deployment(http)["default"] == OLD


def test_a_change_that_another_person_made_meanwhile_is_not_overwritten(
    visitor: Visitor, http: httpx.Client
) -> None:
    page = visitor.page
    page.get_by_label("Version", exact=True).select_option(NEW)
    page.route("**/deployment", page_keeps_what_it_knows)
    page.get_by_role("button", name="Deploy version").click()
    target = {"wanted": [OLD, NEW], "default": OLD, "reason": "meanwhile"}
    http.put("/models/iris/deployment", json=target).raise_for_status()
    confirm(page, "Deploy version")
    expect(panel(page)).to_contain_text("another change came first")
    assert deployment(http)["reason"] == "meanwhile"


def page_keeps_what_it_knows(route: Any) -> None:
    """Reads of the deployment fail; changes pass."""
    if route.request.method == "GET":
        route.abort()
    else:
        route.continue_()


def test_a_rollout_is_shown_to_its_end_with_the_figures_of_both_versions(
    visitor: Visitor, stack: Stack, http: httpx.Client
) -> None:
    rules = {"min_requests": 5, "max_p99_ratio": 1000, "max_predict_ratio": 1000, "max_disagreement": 1}
    asked = {"to": NEW, "steps": [20, 50, 60], "hold_s": 1, "rules": rules | {"shadow_share": 1}}
    page = visitor.page
    expect(panel(page)).to_contain_text("Generation")
    with requests(stack):
        http.post("/models/iris/rollouts", json=asked).raise_for_status()
        expect(panel(page)).to_contain_text(f"Rollout {OLD} → {NEW}")
        expect(panel(page)).to_contain_text("Promoted")
        expect(panel(page)).to_contain_text("all steps passed")
        steps = page.get_by_role("table", name="Steps of the rollout")
        for percent in ("20 %", "50 %", "60 %"):
            expect(steps).to_contain_text(percent)
        for chart in ("Share of the requests", "Error rate", "p99, ms"):
            picture = page.get_by_role("img", name=re.compile(rf"^{chart}\."))
            expect(picture.locator("path.line.s1")).not_to_have_count(0)
            expect(picture.locator("path.line.s2")).not_to_have_count(0)
        expect(page.get_by_role("img", name=re.compile(r"^Disagreement\."))).to_be_visible()
        [ended, *_] = http.get("/models/iris/rollouts").json()["ended"]
        assert [step["percent"] for step in ended["history"]] == [20, 50, 60]
        assert all(step["compared"] >= 5 for step in ended["history"])
        assert all(one["requests"] for step in ended["history"] for one in step["figures"])
    assert visitor.barriers() == []


def test_a_running_rollout_is_ended_by_hand(visitor: Visitor, http: httpx.Client) -> None:
    page = visitor.page
    asked = {"to": NEW, "steps": [20, 100], "hold_s": 300}
    http.post("/models/iris/rollouts", json=asked).raise_for_status()
    expect(panel(page)).to_contain_text("1 of 2: 20 %, at least 5 min")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"End the rollout to {NEW}?")
    confirm(page, "Roll back")
    expect(panel(page)).to_contain_text("rolled back by deployer")
    assert deployment(http)["rollout"]["state"] == "rolled_back"


def test_the_gate_of_a_rollout_and_a_shadow_are_shown_with_their_figures(
    visitor: Visitor, stack: Stack, http: httpx.Client
) -> None:
    page = visitor.page
    job = http.post("/jobs", json={"model": "iris", "inputs": [IRIS] * 30}).json()
    finished(http, f"/jobs/{job['id']}")
    gate = {"replay": job["id"], "max_disagreement": 0}
    asked = {"to": NEW, "steps": [20, 100], "hold_s": 300, "gate": gate}
    http.post("/models/iris/rollouts", json=asked).raise_for_status()
    replay = panel(page).get_by_role("link", name="the replay agrees")
    expect(replay).to_be_visible()
    running = http.get("/models/iris/rollouts").json()["running"]
    assert replay.get_attribute("href") == f"#/jobs/{running['gate']['job']}"
    assert [step["percent"] for step in running["history"]] == [0, 20]
    expect(panel(page)).to_contain_text(running["gate"]["figures"])
    target = {"wanted": [OLD, NEW], "default": OLD, "shadow": {"version": NEW, "share": 1}}
    http.put("/models/iris/deployment", json=target).raise_for_status()
    with requests(stack):
        expect(panel(page)).to_contain_text(
            re.compile(rf"{NEW} for 100% of the requests: [1-9]\S* rows compared")
        )


def test_a_key_that_only_reads_sees_the_deployment_and_no_buttons(
    window: Browser, stack: Stack, http: httpx.Client
) -> None:
    with signed_in(window, stack.url, READER, "#/models/iris") as visitor:
        expect(panel(visitor.page)).to_contain_text(f"{OLD}: held by 1")
        for name in ("Deploy version", "Roll back"):
            expect(visitor.page.get_by_role("button", name=name)).to_have_count(0)


def test_the_deployment_keeps_nobody_out_on_a_telephone_in_korean(
    window: Browser, stack: Stack, http: httpx.Client
) -> None:
    place = "#/models/iris"
    with signed_in(window, stack.url, DEPLOYER, place, language="ko-KR", width=PHONE) as visitor:
        page = visitor.page
        expect(page.get_by_role("button", name="버전 배포")).to_be_visible()
        assert visitor.barriers() == []
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
