"""A Redis over TLS that knows its clients: a CA of the test, a password, a user with just its rights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import redis
import trustme

from tests.support.servers import Server, free_port

PASSWORD = "p@ss/w:rd"
RIGHTS = (
    "~takt:*",
    "~offline.*",
    "~_kombu.*",
    "~unacked*",
    "&*",
    "+@all",
    "-@dangerous",
    "+info",
    "+client|unblock",
)
"""What Takt needs of Redis' access lists; docs/security.md has the same."""


@dataclass(frozen=True)
class Authority:
    """A CA, as a file, and a server's certificate of it."""

    ca: Path
    certificate: Path
    key: Path


def authority(folder: Path, *names: str) -> Authority:
    """A CA of this moment, and a certificate for these names."""
    made = trustme.CA()
    folder.mkdir(parents=True, exist_ok=True)
    issued = made.issue_cert(*names)
    found = Authority(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    made.cert_pem.write_to_path(str(found.ca))
    issued.cert_chain_pems[0].write_to_path(str(found.certificate))
    issued.private_key_pem.write_to_path(str(found.key))
    return found


class TlsServer(Server):
    """A server that answers over TLS alone."""

    def __init__(self, binary: str, folder: Path, trusted: Authority, *options: str) -> None:
        self.tls_port = free_port()
        self.trusted = trusted
        super().__init__(
            binary,
            folder,
            *("--port", "0", "--tls-port", str(self.tls_port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(trusted.certificate), "--tls-key-file", str(trusted.key)),
            *("--tls-ca-cert-file", str(trusted.ca), "--requirepass", PASSWORD, *options),
        )

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.tls_port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(
            self.url, password=PASSWORD, ssl_ca_certs=str(self.trusted.ca), socket_timeout=5.0
        )
