"""Receivers of webhooks: real HTTP servers with answers chosen by a test, which store all requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """Returns its answers in turn and repeats the last answer. A test can delay the answers."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.received: list[Received] = []
        self.gate = threading.Event()
        self.gate.set()
        self._answers = list(answers)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def take(self, request: Received) -> Answer:
        self.received.append(request)
        assert self.gate.wait(30)
        return self._answers[min(len(self.received), len(self._answers)) - 1]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@contextmanager
def receiver(*answers: Answer) -> Iterator[Receiver]:
    """Start a receiver, and stop it after the block. The default answer is 204."""
    started = Receiver(answers or [Answer()])
    started.start()
    try:
        yield started
    finally:
        started.stop()


def _handler(owner: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = owner.take(Received(self.path, headers, self.rfile.read(length)))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    return Handler
