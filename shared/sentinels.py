"""How a URL names a primary that Redis Sentinel watches, instead of a server:

    redis+sentinel://[user:password@]host:26379,host:26379/SERVICE[?db=N&sentinel_password=…]
    rediss+sentinel://…[?ssl_ca_certs=…&ssl_certfile=…&ssl_keyfile=…]

The second is over TLS, to Sentinels and servers alike.

The user and the password are the data servers'; Sentinels are asked without one, unless the URL says so.
Names and passwords are percent-encoded. A server's certificate is for the name or address by which Sentinel
speaks of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SCHEME, TLS_SCHEME = "redis+sentinel", "rediss+sentinel"
DEFAULT_PORT = 26379
_OPTIONS = {"db", "sentinel_password"}
_TLS_OPTIONS = {"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}


@dataclass(frozen=True)
class SentinelAddress:
    """The Sentinels, and what they call the pair (`master_name` elsewhere)."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: Mapping[str, str] = field(default_factory=dict)
    """How certificates are checked, as redis-py and kombu take it; empty: in the clear."""

    @property
    def credentials(self) -> Mapping[str, Any]:  # Any: keywords of redis-py's clients
        """What a client says to the data servers, besides where they are."""
        return {"db": self.db, "username": self.username, "password": self.password, **self.transport}

    @property
    def transport(self) -> Mapping[str, Any]:  # Any: keywords of redis-py's clients
        """How Sentinels and data servers are connected to."""
        return {"ssl": True, **self.tls} if self.tls else {}

    @property
    def broker_url(self) -> str:
        """The same Sentinels as kombu names them; it takes the service from its transport options."""
        user = quote(self.username or "", safe="")
        login = f"{user}:{quote(self.password, safe='')}@" if self.password else ""
        hosts = [f"{_bracketed(host)}:{port}" for host, port in self.sentinels]
        return ";".join(f"sentinel://{login}{host}/{self.db}" for host in hosts)


def is_sentinel(url: str) -> bool:
    return url.startswith((f"{SCHEME}://", f"{TLS_SCHEME}://"))


def sentinel_address(url: str) -> SentinelAddress:
    """Raises ValueError, whose words do not repeat the URL: it may hold a password."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    options = dict(parse_qsl(parts.query))
    service = unquote(parts.path.strip("/"))
    known = _OPTIONS | (_TLS_OPTIONS if parts.scheme == TLS_SCHEME else set())
    if unknown := options.keys() - known:
        raise ValueError(f"a Sentinel URL takes {', '.join(sorted(known))}, not {', '.join(sorted(unknown))}")
    if not service or "/" in service:
        raise ValueError("a Sentinel URL names its service: redis+sentinel://host:26379,host:26379/SERVICE")
    return SentinelAddress(
        sentinels=tuple(_host(host) for host in hosts.split(",")),
        service=service,
        db=int(options.get("db", "0")),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_password=options.get("sentinel_password"),
        tls=_checks(options) if parts.scheme == TLS_SCHEME else {},
    )


def _checks(options: Mapping[str, str]) -> Mapping[str, str]:
    said = {name: value for name, value in options.items() if name in _TLS_OPTIONS}
    return {"ssl_cert_reqs": "required"} | said


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text.strip()}")
    if not parts.hostname:
        raise ValueError("a Sentinel URL names each Sentinel as host:port, with commas between")
    return parts.hostname, parts.port or DEFAULT_PORT


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
