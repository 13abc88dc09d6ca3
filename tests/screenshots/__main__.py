"""Starts a Takt of its own, lets a shift's work run, and takes the pictures to docs/images."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.screenshots.shift import Shift, remember, work
from tests.support.browsers import PATIENCE_MS, Theme, browser, chromium, visiting
from tests.support.servers import Server, valkey_binary
from tests.support.stack import ROOT, Stack, running, wait_until_ready

IMAGES = ROOT / "docs" / "images"
SETTLES_MS = 4000
"""Until loads and speeds have been measured."""


@dataclass(frozen=True)
class Picture:
    name: str
    place: str
    width: int = 1280
    height: int = 960
    theme: Theme = "light"
    language: str = "en-GB"


def pictures(shift: Shift) -> list[Picture]:
    """Those of work that runs come first, lest it end before."""
    return [
        Picture("console-job-running", f"#{shift.running}", height=840),
        Picture("console-overview", "", height=1120),
        Picture("console-tablet-korean", "", width=820, height=1180, language="ko-KR"),
        Picture("console-overview-dark", "", theme="dark", width=1920, height=1080),
        Picture("console-jobs", "#/jobs"),
        Picture("console-workers", "#/workers", height=420),
        Picture("console-models", "#/models/quality", height=1440),
        Picture("console-submit", "#/submit", height=640),
        Picture("console-admin", "#/admin", height=1000),
        Picture("console-job-failed", f"#{shift.failed}", height=1180),
    ]


def main() -> None:
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with Server(valkey_binary(), folder) as queue, running(queue.url, folder) as stack:
            stack.gateway()
            stack.worker("press-line-1", wait=False, runtime="native")  # slow enough for pictures
            stack.worker("press-line-2", models="quality", runtime="native")
            wait_until_ready(stack)
            with queue.client() as client:
                remember(client)
            with stack.client(timeout_s=120.0) as http:
                shift = work(http)
            with browser(chromium()) as window:
                for picture in pictures(shift):
                    take(window, stack, picture)


def take(window: Browser, stack: Stack, picture: Picture) -> None:
    with visiting(
        window, stack.url, language=picture.language, theme=picture.theme, width=picture.width
    ) as visitor:
        visitor.page.set_viewport_size({"width": picture.width, "height": picture.height})
        page = visitor.open(picture.place)
        prepare(page, picture)
        page.wait_for_timeout(SETTLES_MS)
        page.screenshot(path=IMAGES / f"{picture.name}.png")
        assert visitor.errors == [], visitor.errors


def prepare(page: Page, picture: Picture) -> None:
    """Earlier activity of users."""
    if picture.place.startswith("#/models"):
        page.get_by_role("button", name="Predict").click()
        expect(page.locator(".answers")).to_contain_text("prediction")
        page.evaluate("window.scrollTo(0, 0)")


if __name__ == "__main__":
    main()
