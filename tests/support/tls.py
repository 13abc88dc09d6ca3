"""A Redis over TLS with access control: a test CA, a password, and a user with minimal permissions."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import redis
import trustme

from tests.support.polling import eventually
from tests.support.sentinels import SERVICE
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
"""Takt's rules in Redis' access lists, identical to docs/security.md."""


@dataclass(frozen=True)
class Authority:
    """A CA as a file, and a server certificate issued by it."""

    ca: Path
    certificate: Path
    key: Path


def authority(folder: Path, *names: str) -> Authority:
    """Create a CA and a certificate for these names."""
    made = trustme.CA()
    folder.mkdir(parents=True, exist_ok=True)
    issued = made.issue_cert(*names)
    found = Authority(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    made.cert_pem.write_to_path(str(found.ca))
    issued.cert_chain_pems[0].write_to_path(str(found.certificate))
    issued.private_key_pem.write_to_path(str(found.key))
    return found


class TlsSentinel:
    """A Sentinel over TLS that watches a server over TLS."""

    def __init__(self, binary: str, folder: Path, watched: TlsServer) -> None:
        self.port = free_port()
        self._watched = watched
        trusted = watched.trusted
        lines = (
            *("port 0", f"tls-port {self.port}", "bind 127.0.0.1", f"dir {folder}"),
            *("tls-auth-clients no", "tls-replication yes", f"tls-ca-cert-file {trusted.ca}"),
            *(f"tls-cert-file {trusted.certificate}", f"tls-key-file {trusted.key}"),
            f"sentinel monitor {SERVICE} 127.0.0.1 {watched.tls_port} 1",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
        )
        configuration = folder / "sentinel.conf"
        configuration.write_text("\n".join(lines) + "\n")
        self._command = [binary, str(configuration), "--sentinel"]

    @property
    def url(self) -> str:
        return f"rediss+sentinel://127.0.0.1:{self.port}/{SERVICE}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(timeout=20)

    def _answers(self) -> bool:
        ca = str(self._watched.trusted.ca)
        with redis.Redis("127.0.0.1", self.port, ssl=True, ssl_ca_certs=ca, socket_timeout=5.0) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


class TlsServer(Server):
    """A server that only accepts TLS."""

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
