"""A POST to an untrusted receiver: address, host name, time limit, size."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network

import pytest
import trustme

from shared import webhook_posts
from shared.webhook_posts import NotPostedError, Poster, Response
from shared.webhooks import Address, Resolve, WebhookTarget
from tests.support.receivers import Answer, Receiver, receiver

LOOPBACK = (ip_network("127.0.0.0/8"),)


def resolving(*addresses: str) -> Resolve:
    """A resolver that returns these addresses for every name."""
    return lambda host, port: [ip_address(address) for address in addresses]


def unresolvable(host: str, port: int) -> list[Address]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def post(to: Receiver, *, timeout_s: float = 10.0, path: str = "/hook") -> Response:
    target = WebhookTarget(False, "127.0.0.1", to.port, path)
    return Poster(LOOPBACK, timeout_s)(target, {"webhook-id": "m"}, b"{}")


def test_a_post_arrives_as_it_was_sent() -> None:
    with receiver(Answer(202, {"Retry-After": "9"})) as to:
        assert post(to, path="/hook?line=2") == Response(202, "9")
    request = to.received[0]
    assert (request.path, request.body, request.headers["webhook-id"]) == ("/hook?line=2", b"{}", "m")


def test_a_redirect_is_not_followed() -> None:
    with receiver() as elsewhere, receiver(Answer(302, {"Location": elsewhere.url})) as to:
        assert post(to).status == 302
    assert elsewhere.received == []


def test_the_address_is_the_checked_one_and_the_name_the_one_that_was_asked_for() -> None:
    with receiver() as to:
        poster = Poster(LOOPBACK, 10.0, resolving("127.0.0.1"))
        poster(WebhookTarget(False, "receiver.example", to.port, "/"), {}, b"")
    assert to.received[0].headers["host"] == f"receiver.example:{to.port}"


def test_the_default_port_of_http_is_left_out_of_the_host_header(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as to:
        connected = webhook_posts._connected
        monkeypatch.setattr(
            webhook_posts, "_connected", lambda addresses, _port, end_s: connected(addresses, to.port, end_s)
        )
        for port in (80, 443):
            target = WebhookTarget(False, "receiver.example", port, "/")
            Poster(LOOPBACK, 10.0, resolving("127.0.0.1"))(target, {}, b"")
    assert [request.headers["host"] for request in to.received] == [
        "receiver.example",
        "receiver.example:443",
    ]


def test_a_name_is_resolved_once_so_that_no_second_answer_is_connected_to() -> None:
    answers = iter([[ip_address("127.0.0.1")]])
    with receiver() as to:
        poster = Poster(LOOPBACK, 10.0, lambda host, port: next(answers))
        assert poster(WebhookTarget(False, "rebinding.example", to.port, "/"), {}, b"").status == 204


def test_a_name_that_became_private_since_its_submission_is_refused() -> None:
    with receiver() as to:
        poster = Poster((), 10.0, resolving("127.0.0.1"))
        with pytest.raises(
            NotPostedError, match=r"rebinding\.example has no address that webhooks may reach"
        ):
            poster(WebhookTarget(False, "rebinding.example", to.port, "/"), {}, b"")
    assert to.received == []


def test_the_second_address_is_tried_where_the_first_takes_no_connection() -> None:
    with receiver() as to:
        poster = Poster(LOOPBACK, 10.0, resolving("127.0.0.9", "127.0.0.1"))
        assert poster(WebhookTarget(False, "receiver.example", to.port, "/"), {}, b"").status == 204


def test_a_name_without_an_address_is_a_failure_that_says_so() -> None:
    with pytest.raises(NotPostedError, match=r"soon\.example has no address"):
        Poster((), 1.0, unresolvable)(WebhookTarget(False, "soon.example", 80, "/"), {}, b"")


def test_a_receiver_that_does_not_answer_is_left_after_the_timeout() -> None:
    with receiver() as to:
        to.gate.clear()
        with pytest.raises(NotPostedError, match=r"no answer within 0\.2 s"):
            post(to, timeout_s=0.2)


def test_a_receiver_that_is_not_there_is_a_failure_that_says_so() -> None:
    with receiver() as to:
        port = to.port
    with pytest.raises(NotPostedError, match="refused"):
        Poster(LOOPBACK, 5.0)(WebhookTarget(False, "127.0.0.1", port, "/"), {}, b"")


@contextlib.contextmanager
def speaking(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that handles a connection with `serve`. → its port."""

    def run(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, args=[listener], daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


def test_a_receiver_that_sends_a_byte_now_and_then_is_cut_off_at_the_timeout() -> None:
    def drip(connection: socket.socket) -> None:
        pause = threading.Event()
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
        while not pause.wait(0.05):
            connection.sendall(b"x")

    with speaking(drip) as port, pytest.raises(NotPostedError, match=r"no answer within 0\.3 s"):
        Poster(LOOPBACK, 0.3)(WebhookTarget(False, "127.0.0.1", port, "/"), {}, b"")


def test_a_body_without_end_is_not_read() -> None:
    def flood(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))

    with speaking(flood) as port:
        assert Poster(LOOPBACK, 10.0)(WebhookTarget(False, "127.0.0.1", port, "/"), {}, b"").status == 200


def test_headers_without_end_are_not_read() -> None:
    def flood(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"x: y\r\n" * 1000)

    with speaking(flood) as port, pytest.raises(NotPostedError, match="100 headers"):
        Poster(LOOPBACK, 10.0)(WebhookTarget(False, "127.0.0.1", port, "/"), {}, b"")


def test_what_does_not_speak_http_is_a_failure() -> None:
    def greet(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"220 mail.example ESMTP\r\n")

    with speaking(greet) as port, pytest.raises(NotPostedError, match="BadStatusLine"):
        Poster(LOOPBACK, 10.0)(WebhookTarget(False, "127.0.0.1", port, "/"), {}, b"")


class Secure:
    """A TLS server with a certificate for a name, and a client that trusts its issuer."""

    def __init__(self, name: str) -> None:
        authority = trustme.CA()
        self.asked_for: str | None = None
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(self._server)
        self._server.sni_callback = self._note
        self._client = ssl.create_default_context()
        authority.configure_trust(self._client)

    def serve(self, connection: socket.socket) -> None:
        with self._server.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    def post(self, host: str, port: int) -> Response:
        poster = Poster(LOOPBACK, 10.0, resolving("127.0.0.1"), tls=lambda: self._client)
        return poster(WebhookTarget(True, host, port, "/"), {}, b"")

    def _note(self, _socket: object, name: str | None, _context: object) -> None:
        self.asked_for = name


def test_tls_asks_for_the_name_and_checks_it_though_the_address_is_pinned() -> None:
    secure = Secure("receiver.example")
    with speaking(secure.serve) as port:
        assert secure.post("receiver.example", port).status == 204
    assert secure.asked_for == "receiver.example"


def test_a_certificate_for_another_name_is_refused() -> None:
    secure = Secure("other.example")
    with speaking(secure.serve) as port, pytest.raises(NotPostedError, match="Hostname mismatch"):
        secure.post("receiver.example", port)
