"""Sign-in by a real OpenID Connect provider and by a proxy, sessions, and attacks against them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from shared import keys as spelled
from tests.support.browsers import browser as browser_of
from tests.support.browsers import chromium, visiting
from tests.support.polling import eventually
from tests.support.servers import Server, free_port
from tests.support.stack import Stack, running

pytestmark = pytest.mark.integration

PEOPLE = (
    {"sub": "kim", "preferred_username": "Kim@plant.kr", "groups": ["operators"]},
    {"sub": "lee", "preferred_username": "lee", "groups": ["visitors"]},
    {"sub": "park", "preferred_username": "박", "groups": ["operators"]},
)
ROLES = "operators=read+submit+predict,admins=admin"
COOKIE = "takt-session"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an OpenID Connect provider."""
    port = free_port()
    people = [word for person in PEOPLE for word in ("--user-claims", json.dumps(person))]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "-n", "true", *people]
    log = tmp_path_factory.mktemp("provider") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _is_up(f"{url}/.well-known/openid-configuration"), limit_s=60)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def stack(provider: str, valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two gateways, whose people sign in at the provider or behind a proxy on this machine."""
    with valkey.client() as client:
        client.delete(spelled.access_keys(), spelled.access_shares())
    with running(valkey.url, tmp_path_factory.mktemp("stack"), access="keys") as stack:
        settings: dict[str, Any] = {
            "public_url": stack.url,
            "oidc_issuer": provider,
            "oidc_client_id": "takt",
            "oidc_client_secret": "provider-secret",
            "sign_in_roles": ROLES,
            "trusted_proxies": "127.0.0.0/8",
            "proxy_user_header": "X-Forwarded-User",
        }
        stack.gateway("one", **settings)
        stack.gateway("two", port=free_port(), **settings)
        yield stack


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def browser(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=30)


def sign_in(http: httpx.Client, person: str) -> httpx.Response:
    """Sign in as a browser does. → the gateway's answer to the return from the provider"""
    to_provider = http.get("/sign-in")
    assert to_provider.status_code == 302
    at_provider = httpx.post(to_provider.headers["location"], data={"sub": person}, timeout=30)
    assert at_provider.status_code in (302, 303), at_provider.text
    back = urlsplit(at_provider.headers["location"])
    return http.get(f"{back.path}?{back.query}")


def problem_of(answer: httpx.Response) -> str:
    """The problem that the console shows after a failed sign-in."""
    assert answer.status_code == 302
    assert COOKIE not in answer.headers.get("set-cookie", "")
    return unquote(answer.headers["location"].partition("sign_in_problem=")[2])


def test_a_person_signs_in_acts_with_the_roles_of_its_group_and_signs_out(stack: Stack) -> None:
    with browser(stack.url) as http:
        before = http.get("/session").json()
        assert (before["kind"], before["sign_in"]["path"]) == ("none", "/sign-in")
        arrived = sign_in(http, "kim")
        assert arrived.headers["location"] == "/console"
        cookie = arrived.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        session = http.get("/session").json()
        assert (session["kind"], session["name"]) == ("session", "user.kim@plant.kr")
        assert session["roles"] == ["predict", "read", "submit"]
        csrf = {"x-csrf-token": session["csrf_token"]}
        assert http.get("/jobs", headers=csrf).status_code == 200
        other = stack.parts["two"].url
        kept = csrf | {"cookie": f"{COOKIE}={http.cookies[COOKIE]}"}
        assert httpx.get(f"{other}/jobs", headers=kept, timeout=30).status_code == 200
        assert http.put("/models/iris/deployment", json={}, headers=csrf).status_code == 403
        assert http.post("/sign-out", headers=csrf).status_code == 204
        assert http.get("/jobs", headers=kept).status_code == 401

        def rejected() -> bool:
            return httpx.get(f"{other}/jobs", headers=kept, timeout=30).status_code == 401

        eventually(rejected, limit_s=10)
    assert all("provider-secret" not in part.log.read_text() for part in stack.parts.values())


def test_a_cookie_without_its_csrf_token_permits_nothing(stack: Stack) -> None:
    with browser(stack.url) as http:
        sign_in(http, "kim")
        csrf = http.get("/session").json()["csrf_token"]
        job = {"model": "iris", "inputs": []}
        for headers in ({}, {"x-csrf-token": "0" * 64}, {"x-csrf-token": ""}):
            for method, path in (
                ("GET", "/jobs"),
                ("POST", "/jobs"),
                ("POST", "/predict"),
                ("POST", "/sign-out"),
            ):
                answer = http.request(method, path, headers=headers, json=job if method == "POST" else None)
                assert answer.status_code == 401, (headers, method, path)
        foreign = http.get("/session", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers
        assert http.get("/jobs", headers={"x-csrf-token": csrf}).status_code == 200


def test_a_sign_in_that_another_browser_began_is_rejected(stack: Stack) -> None:
    with browser(stack.url) as attacker, browser(stack.url) as victim:
        to_provider = attacker.get("/sign-in")
        at_provider = httpx.post(to_provider.headers["location"], data={"sub": "kim"}, timeout=30)
        back = urlsplit(at_provider.headers["location"])
        forged = victim.get(f"{back.path}?{back.query}")
        assert "not started in this browser" in problem_of(forged)
        victim.get("/sign-in")  # with a state of its own
        assert "another browser" in problem_of(victim.get(f"{back.path}?{back.query}"))
        assert attacker.get(f"{back.path}?{back.query}").headers["location"] == "/console"
        state = parse_qs(back.query)["state"][0]
        again = attacker.get(f"{back.path}?{back.query}", headers={"cookie": f"takt-sign-in={state}"})
        assert "used before" in problem_of(again)


def test_each_sign_in_has_a_new_session_whatever_cookie_the_browser_had(stack: Stack) -> None:
    with browser(stack.url) as http:
        http.cookies.set(COOKIE, "takt_0123456789ab_planted", domain="127.0.0.1")
        first = sign_in(http, "kim").cookies[COOKIE]
        second = sign_in(http, "kim").cookies[COOKIE]
        assert len({first, second, "takt_0123456789ab_planted"}) == 3


@pytest.mark.parametrize(
    ("person", "problem"),
    [("lee", "no role"), ("park", "cannot own jobs"), ("stranger", "preferred_username")],
)
def test_a_person_without_a_role_or_a_usable_name_is_rejected(
    stack: Stack, person: str, problem: str
) -> None:
    with browser(stack.url) as http:
        assert problem in problem_of(sign_in(http, person))
        assert http.get("/session").json()["kind"] == "none"


def test_a_trusted_proxy_signs_people_in(stack: Stack) -> None:
    claimed = {"x-forwarded-user": "choi", "x-forwarded-groups": "visitors, admins"}
    with browser(stack.url) as http:
        assert http.get("/sign-in", headers=claimed).headers["location"] == "/console"
        session = http.get("/session").json()
        assert (session["name"], session["roles"]) == ("user.choi", ["admin"])
        assert http.get("/jobs", headers=claimed).status_code == 401, "the header alone opens nothing"


def test_the_headers_of_other_machines_name_nobody(provider: str, valkey: Server, tmp_path: Path) -> None:
    with running(valkey.url, tmp_path, access="keys") as stack:
        stack.gateway(
            public_url=stack.url,
            trusted_proxies="10.0.0.0/8",
            proxy_user_header="X-Forwarded-User",
            sign_in_roles=ROLES,
        )
        with browser(stack.url) as http:
            claimed = {
                "x-forwarded-user": "choi",
                "x-forwarded-groups": "admins",
                "x-forwarded-for": "10.0.0.1",
            }
            assert "did not authenticate" in problem_of(http.get("/sign-in", headers=claimed))


def test_a_provider_that_does_not_answer_is_reported(valkey: Server, tmp_path: Path) -> None:
    with running(valkey.url, tmp_path, access="keys") as stack:
        stack.gateway(
            public_url=stack.url,
            oidc_issuer=f"http://127.0.0.1:{free_port()}",
            oidc_client_id="takt",
            sign_in_roles=ROLES,
        )
        with browser(stack.url) as http:
            assert "does not answer" in problem_of(http.get("/sign-in"))


def test_an_open_gateway_rejects_names_that_a_page_can_let_lead_here(valkey: Server, tmp_path: Path) -> None:
    row = {"model": "iris", "inputs": [5.1, 3.5, 1.4, 0.2]}
    with running(valkey.url, tmp_path, access="open", allowed_hosts="takt.plant") as stack:
        stack.gateway()
        with browser(stack.url) as http:
            for host in ("rebound.attacker.example", "127.0.0.1.attacker.example", "takt.plant.example"):
                for method, path in (("GET", "/jobs"), ("POST", "/predict"), ("GET", "/console")):
                    body = row if method == "POST" else None
                    answer = http.request(method, path, headers={"host": host}, json=body)
                    assert answer.status_code == 403, (host, path)
                    assert "TAKT_ALLOWED_HOSTS" in answer.json()["detail"]
            form: dict[str, Any] = {"data": {"model": "iris"}, "files": {"file": ("rows.csv", b"a\n1\n")}}
            for site in ("cross-site", "same-site"):
                foreign = {"sec-fetch-site": site, "origin": "http://localhost:3000"}
                answer = http.post("/jobs", headers=foreign, **form)
                assert answer.status_code == 403, site
                assert "TAKT_CORS_ORIGINS" in answer.json()["detail"]
            own = {"sec-fetch-site": "same-origin", "origin": stack.url}
            assert http.post("/jobs", headers=own, **form).status_code != 403
            for host in ("takt.plant", "localhost:8000", "127.0.0.1", "[::1]:8000", "api:8000"):
                assert http.get("/jobs", headers={"host": host}).status_code == 200, host


@pytest.mark.tools
def test_a_person_signs_in_to_the_console_predicts_and_signs_out(stack: Stack) -> None:
    with browser_of(chromium()) as window, visiting(window, stack.url) as visitor:
        page = visitor.open()
        page.get_by_role("link", name="Sign in at 127.0.0.1").click()
        page.get_by_role("button", name="kim", exact=True).click()
        expect(page).to_have_url(re.compile(r"/console$"))
        name = page.get_by_role("button", name="kim@plant.kr")
        expect(name).to_be_visible()
        page.goto(f"{stack.url}/console#/jobs")
        expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
        expect(page.get_by_role("dialog")).to_have_count(0)
        name.click()
        expect(page.get_by_text("Signed in as user.kim@plant.kr (predict, read, submit).")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("link", name="Sign in at 127.0.0.1")).to_be_visible()


@pytest.mark.tools
def test_the_console_shows_why_a_sign_in_failed(stack: Stack) -> None:
    with browser_of(chromium()) as window, visiting(window, stack.url) as visitor:
        page = visitor.open()
        page.get_by_role("link", name="Sign in at 127.0.0.1").click()
        page.get_by_role("button", name="lee", exact=True).click()
        expect(page.get_by_text("no group of TAKT_SIGN_IN_ROLES contains this person")).to_be_visible()
