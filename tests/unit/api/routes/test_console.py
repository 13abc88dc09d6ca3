"""The console's files: complete, public, revalidated after a release, without external resources."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from functools import reduce
from pathlib import Path

import httpx
import pytest

from api.http.error_status import STATUS
from api.routes.console import FOLDER, read_files
from shared.api_keys import Role
from shared.conditions import KINDS
from shared.ledger.records import TOO_MANY_ERRORS
from tests.support.documents import ROOT
from tests.unit.gateway_fakes import FakeRedis, running_gateway

SCRIPTS = sorted(FOLDER.glob("*.js"))
SOURCE = "\n".join(path.read_text() for path in SCRIPTS)
TABLES = [(FOLDER / name).read_text() for name in ("strings.js", "operatorstrings.js")]
TABLE = "\n".join(TABLES)
STRINGS = dict(re.findall(r'^  "([\w.]+)":\s*(\[.*?\]),$', TABLE, re.MULTILINE | re.DOTALL))
PAIR = re.compile(r'\[\s*"((?:[^"\\]|\\.)+)",\s*"((?:[^"\\]|\\.)+)",?\s*\]')
BUILT = (
    "nav",
    "level",
    "state",
    "waiting",
    "worker",
    "held",
    "lanes",
    "app.theme",
    "workers",
    "submit",
    "nights",
    "letters",
    "timeline",
    "keys",
    "deployment.held",
    "rollout",
    "remedy",
)
"""Beginnings of keys of which the rest is put together from data."""


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with running_gateway(FakeRedis(), tmp_path) as (_, client):
        yield client


async def test_the_page_is_there_and_allows_nothing_but_its_own_origin(http: httpx.AsyncClient) -> None:
    answer = await http.get("/console")
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert (answer.status_code, policy.pop("default-src")) == (200, "'none'")
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_each_file_that_the_page_or_a_module_names_is_served_as_what_it_is(
    http: httpx.AsyncClient,
) -> None:
    page = (await http.get("/console")).text
    named = re.findall(r'(?:href|src)="/console/([^"]+)"', page) + re.findall(r'from "\./([^"]+)"', SOURCE)
    assert len(set(named)) > 20
    for name in sorted(set(named)):
        answer = await http.get(f"/console/{name}")
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[name.rpartition(".")[2]]
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind), name


async def test_what_a_browser_has_is_304_and_nothing_outside_of_the_folder_is_served(
    http: httpx.AsyncClient,
) -> None:
    first = await http.get("/console/main.js")
    again = await http.get("/console/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"
    for name in ("../main.py", "%2e%2e%2froutes.py", "nothing.js", "routes.py"):
        assert (await http.get(f"/console/{name}")).status_code == 404, name


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere_and_no_text_is_parsed_as_html(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert "://" not in text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|style=\"", text)


def test_every_string_is_there_in_both_languages() -> None:
    assert len(STRINGS) == TABLE.count('\n  "') > 200
    for key, pair in STRINGS.items():
        found = PAIR.fullmatch(pair)
        assert found, key
        assert set(re.findall(r"\{(\w+)\}", found[1])) == set(re.findall(r"\{(\w+)\}", found[2])), key


def test_every_string_that_is_asked_for_is_in_the_table_and_none_is_idle() -> None:
    others = reduce(lambda source, table: source.replace(table, ""), TABLES, SOURCE)
    asked = set(re.findall(r'"([a-z_]+(?:\.[\w]+)+)"', others))
    quoted = {key for key in asked if not key.endswith((".js", ".css", ".svg"))}
    unknown = {key for key in quoted if key not in STRINGS and f"submit.{key}" not in STRINGS}
    assert {key for key in unknown if not key.startswith("takt.")} == set()
    built = {key for key in STRINGS if key.startswith(tuple(f"{start}." for start in BUILT))}
    made = {key for key in STRINGS if key.startswith(("figure.", "jobs.", "job."))}
    assert set(STRINGS) - quoted - built - made == set()


def test_the_form_of_a_new_key_offers_every_role() -> None:
    found = re.search(r"const ROLES = (\[.+\]);", (FOLDER / "keys.js").read_text())
    assert found
    assert set(json.loads(found[1])) == set(Role)


def test_every_error_code_has_a_korean_reason() -> None:
    reasons = dict(re.findall(r'^  (\w+): "(.+)",$', (FOLDER / "reasons.js").read_text(), re.MULTILINE))
    of_jobs = {TOO_MANY_ERRORS, "upload_interrupted"}
    assert set(reasons) >= set(STATUS) | of_jobs | {"not_found", "method_not_allowed"}
    assert all(re.search("[가-힣]", reason) for reason in reasons.values())


def test_every_condition_has_a_korean_message_with_the_same_values() -> None:
    text = (FOLDER / "conditions.js").read_text()
    found = dict(re.findall(r'^  (\w+): (\[\s*"[^"]+",\s*"[^"]+",?\s*\]),$', text, re.MULTILINE))
    assert list(found) == [kind.code for kind in KINDS]
    for kind in KINDS:
        pair = PAIR.fullmatch(found[kind.code])
        assert pair, kind.code
        assert all(re.search("[가-힣]", words) for words in pair.groups())
        values = [set(re.findall(r"(?<!{)\{(\w+)\}(?!})", words)) for words in (pair[1], kind.message)]
        assert values[0] == values[1], kind.code


def test_the_image_and_the_wheel_take_the_consoles_files_along() -> None:
    assert "COPY api api" in (ROOT / "Dockerfile.api").read_text()
    assert "!api" in (ROOT / ".dockerignore").read_text().splitlines()
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert not {"*.js", "*.css", "*.html", "static", "static/"} & set(ignored)  # hatch leaves those out
    assert set(read_files()) == {path.name for path in FOLDER.iterdir()}
