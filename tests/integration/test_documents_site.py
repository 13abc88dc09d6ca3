"""`make docs` builds a site in which every link holds and nothing is fetched from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tools.documents_site import breakable, linked

FETCHED = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=["']?(https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_document_is_a_page_and_is_found_without_a_server(site: Path) -> None:
    pages = {page.relative_to(site).as_posix() for page in site.rglob("*.html")}
    assert {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")} <= pages
    assert {"project/index.html", "project/ARCHITECTURE.html", "project/models.html"} <= pages
    assert "Idempotency-Key" in (site / "search" / "search_index.js").read_text(encoding="utf-8")


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    assert [page.name for page in pages if FETCHED.search(page.read_text(encoding="utf-8"))] == []


def test_links_lead_to_where_the_site_has_the_document() -> None:
    assert linked("[a](../models/README.md#modeltoml)", "own-model.md") == "[a](project/models.md#modeltoml)"
    assert linked("[a](docs/client.md)", "project/README.md") == "[a](../client.md)"
    assert linked("[a](iris/model.toml)", "project/models.md") == "a"
    assert linked("[a](https://example.com/x)", "index.md") == "[a](https://example.com/x)"


def test_long_names_break_after_an_underscore() -> None:
    name = "takt_gateway_requests_in_flight_now"
    assert breakable(f"<code>{name}</code>") == f"<code>{name.replace('_', '_<wbr>')}</code>"
    for kept in ("<code>max_rows</code>", f"<pre><code>x = {name}</code></pre>", name):
        assert breakable(kept) == kept
