"""A real browser for tests of the console: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.support.access import Holder

PATIENCE_MS = 60_000
"""Time limit of a page on a busy machine."""
_OF_AN_ANSWER = "Failed to load resource"
"""Chromium's message for each unsuccessful response; tests check those responses separately."""
_AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")

Theme = Literal["light", "dark"]


def chromium() -> str:
    """The path of Chromium. Skips the test without it, but not in CI."""
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed: CI tests the console in it")
        pytest.skip("chromium is not installed (apt-get install chromium)")
    return found


@contextmanager
def browser(executable: str) -> Iterator[Browser]:
    """Start the browser, and stop it after the block."""
    with sync_playwright() as playwright:
        # as root in a container there is no sandbox and little shared memory
        started = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=PATIENCE_MS
        )
        try:
            yield started
        finally:
            started.close()


class Visitor:
    """A window on a console. It records forbidden events: errors, and requests to other hosts."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.context = context
        self.requests: list[str] = []
        self.errors: list[str] = []
        context.set_default_timeout(PATIENCE_MS)
        self.page: Page = context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._heard)

    def open(self, place: str = "") -> Page:
        """Open a view of the console, such as `#/jobs`."""
        self.page.goto(f"{self.url}/console{place}", timeout=PATIENCE_MS)
        return self.page

    @property
    def elsewhere(self) -> set[str]:
        """Requested hosts other than the gateway."""
        own = urlsplit(self.url).netloc
        kinds = [urlsplit(url) for url in self.requests]
        return {kind.netloc for kind in kinds if kind.scheme in ("http", "https")} - {own}

    def barriers(self) -> list[str]:
        """Accessibility violations of the current page by axe-core (WCAG 2.2, levels A and AA)."""
        self.page.evaluate(_AXE)
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found: Any = self.page.evaluate(  # Any: JSON
            f"axe.run({json.dumps({'runOnly': tags, 'resultTypes': ['violations']})})"
        )
        return [
            f"{violation['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_OF_AN_ANSWER):
            self.errors.append(f"{message.text} ({message.location})")


@contextmanager
def visiting(
    browser: Browser, url: str, *, language: str = "en-GB", theme: Theme = "light", width: int = 1280
) -> Iterator[Visitor]:
    """A new window without stored data of other windows."""
    context = browser.new_context(
        locale=language,
        color_scheme=theme,
        viewport={"width": width, "height": 900},
        accept_downloads=True,
        timezone_id="UTC",
    )
    try:
        yield Visitor(context, url)
    finally:
        context.close()


@contextmanager
def signed_in(browser: Browser, url: str, key: Holder, place: str, **how: Any) -> Iterator[Visitor]:
    """A new window on a view of the console with this key; it may record no forbidden event."""
    with visiting(browser, url, **how) as visitor:
        visitor.context.add_init_script(f"sessionStorage.setItem('takt.key', '{key.token}')")
        visitor.open(place)
        yield visitor
        assert visitor.errors == []
        assert visitor.elsewhere == set()
