"""Requests of `takt up` on its own machine ignore the environment's proxies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import cast

import pytest

from shared.settings import Settings
from stack.first_prediction import first_prediction
from stack.plan import Plan
from stack.up import _lives
from tests.support.servers import free_port
from tests.support.specimens import declaration


class Gateway(BaseHTTPRequestHandler):
    """A server that answers every request alike."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "7")
        self.end_headers()
        self.wfile.write(b'{"y":2}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a gateway; the environment names a proxy that accepts no connections."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_gateway_is_seen_to_live_past_a_proxy(url: str) -> None:
    assert _lives(url)
    assert not _lives(f"http://127.0.0.1:{free_port()}")


def test_the_first_prediction_is_made_past_a_proxy(url: str) -> None:
    plan = cast(Plan, SimpleNamespace(http_url=url, models=[declaration()], settings=Settings()))
    assert first_prediction(plan).answer == '{"y": 2}'
