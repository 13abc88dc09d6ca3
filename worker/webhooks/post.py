"""One POST to a receiver that is not trusted: to an address that was checked, within a time, and no further.

The standard library's http.client does it, because it does so little: it follows no redirect, reads no proxy
from the environment, and lets its socket be opened here, to the address that was checked and under the name
that was asked for. Clients that resolve names by themselves would have to be talked out of it.
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


class NotPosted(Exception):
    """No answer came; says why."""


@dataclass(frozen=True)
class Response:
    """What a receiver answered. Its body is not read: nobody here needs it, and it might never end."""

    status: int
    retry_after: str  # the header, empty where there was none


@cache
def trusted() -> ssl.SSLContext:
    """The system's authorities; SSL_CERT_FILE names others, as everywhere with OpenSSL."""
    return ssl.create_default_context()


@dataclass(frozen=True)
class Poster:
    """Posts within `timeout_s` each, DNS apart, which has the resolver's own limits."""

    networks: Sequence[Network]  # private ones that may be reached
    timeout_s: float
    resolve: Resolve = system_addresses
    tls: Callable[[], ssl.SSLContext] = trusted

    def __call__(self, target: WebhookTarget, headers: Mapping[str, str], body: bytes) -> Response:
        """Raises NotPosted."""
        addresses = self._addresses(target)
        try:
            return self._post(target, addresses, headers, body)
        except TimeoutError:
            raise NotPosted(f"no answer within {self.timeout_s:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotPosted(f"{type(error).__name__}: {error}"[:200]) from None

    def _addresses(self, target: WebhookTarget) -> list[Address]:
        try:
            found = permitted(self.resolve(target.host, target.port), self.networks)
        except OSError as error:
            raise NotPosted(f"{target.host} has no address: {error.strerror or error}") from None
        if not found:
            raise NotPosted(refusal(target.host))
        return found

    def _post(
        self, target: WebhookTarget, addresses: Sequence[Address], headers: Mapping[str, str], body: bytes
    ) -> Response:
        end_s = time.monotonic() + self.timeout_s
        plain = _connected(addresses, target.port, end_s)
        with plain, _cut_off(plain, end_s) as deadline:
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.default_port = 443 if target.tls else 80  # left out of the Host header
            try:
                connection.sock = self._secured(plain, target.host) if target.tls else plain
                connection.request("POST", target.path, body=body, headers=dict(headers))
                with connection.getresponse() as answer:
                    return Response(answer.status, answer.headers.get("retry-after", ""))
            finally:
                connection.close()
                if deadline.is_set():  # to http.client, the cut may look like an answer's end
                    raise TimeoutError from None

    def _secured(self, plain: socket.socket, host: str) -> ssl.SSLSocket:
        return self.tls().wrap_socket(plain, server_hostname=host)


def _connected(addresses: Sequence[Address], port: int, end_s: float) -> socket.socket:
    """A connection to the first of the addresses that takes one. Raises OSError."""
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
    """End the connection at a time, whatever is going on: a receiver that sends a byte now and then never
    runs into a socket's own timeout. → set once that has happened.
    """
    passed = threading.Event()
    handle = connection.dup()  # TLS takes the first one over

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
