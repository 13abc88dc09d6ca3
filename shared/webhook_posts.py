"""A POST to an untrusted receiver: to a checked address, within a time limit, without redirects.

It uses the standard library's http.client because that does little: it follows no redirect, reads no proxy
from the environment, and accepts a socket that was opened to the checked address under the requested name.
Clients that resolve names themselves would have to be overridden.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from shared.webhooks import Address, Network, Resolve, WebhookTarget, permitted, refusal, system_addresses


class NotPostedError(Exception):
    """No response; the message is the reason."""


@dataclass(frozen=True)
class Response:
    """A receiver's response. Its body is not read: it is not needed and may never end."""

    status: int
    retry_after: str  # the header; empty if absent


@cache
def trusted() -> ssl.SSLContext:
    """The system's certificate authorities, or those of SSL_CERT_FILE, as usual with OpenSSL."""
    return ssl.create_default_context()


@dataclass(frozen=True)
class Poster:
    """Posts with a limit of `timeout_s`. DNS is not included; the resolver has its own limits."""

    networks: Sequence[Network]  # private networks that may be reached
    timeout_s: float
    resolve: Resolve = system_addresses
    tls: Callable[[], ssl.SSLContext] = trusted

    def __call__(self, target: WebhookTarget, headers: Mapping[str, str], body: bytes) -> Response:
        """Send a POST. Raises NotPostedError."""
        addresses = self._addresses(target)
        try:
            return self._post(target, addresses, headers, body)
        except TimeoutError:
            raise NotPostedError(f"no answer within {self.timeout_s:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotPostedError(f"{type(error).__name__}: {error}"[:200]) from None

    def _addresses(self, target: WebhookTarget) -> list[Address]:
        try:
            found = permitted(self.resolve(target.host, target.port), self.networks)
        except OSError as error:
            raise NotPostedError(f"{target.host} has no address: {error.strerror or error}") from None
        if not found:
            raise NotPostedError(refusal(target.host))
        return found

    def _post(
        self, target: WebhookTarget, addresses: Sequence[Address], headers: Mapping[str, str], body: bytes
    ) -> Response:
        end_s = time.monotonic() + self.timeout_s
        plain = _connected(addresses, target.port, end_s)
        with plain, _cut_off(plain, end_s) as deadline:
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.default_port = 443 if target.tls else 80  # omitted from the Host header
            try:
                connection.sock = self._secured(plain, target.host) if target.tls else plain
                connection.request("POST", target.path, body=body, headers=dict(headers))
                with connection.getresponse() as answer:
                    return Response(answer.status, answer.headers.get("retry-after", ""))
            finally:
                connection.close()
                if deadline.is_set():  # http.client may take the shutdown for the end of a response
                    raise TimeoutError from None

    def _secured(self, plain: socket.socket, host: str) -> ssl.SSLSocket:
        return self.tls().wrap_socket(plain, server_hostname=host)


def _connected(addresses: Sequence[Address], port: int, end_s: float) -> socket.socket:
    """A connection to the first address that accepts it. Raises OSError."""
    failure: OSError = TimeoutError()
    for address in addresses:
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        try:
            return socket.create_connection((str(address), port), timeout=left_s)
        except OSError as error:
            failure = error
    raise failure


@contextlib.contextmanager
def _cut_off(connection: socket.socket, end_s: float) -> Iterator[threading.Event]:
    """Shut the connection down at `end_s`: a receiver that sends a byte now and then never hits the
    socket's own timeout. → set once that has happened."""
    passed = threading.Event()
    handle = connection.dup()  # TLS takes over the original

    def cut() -> None:
        passed.set()
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, end_s - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield passed
    finally:
        timer.cancel()
        timer.join()
        handle.close()
