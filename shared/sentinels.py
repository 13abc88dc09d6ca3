"""URLs of a primary that Redis Sentinel watches:

    redis+sentinel://[user:password@]host:26379,host:26379/SERVICE[?db=N&sentinel_password=…]
    rediss+sentinel://…[?ssl_ca_certs=…&ssl_certfile=…&ssl_keyfile=…]

The second form uses TLS, to Sentinels and servers.

The user and the password are those of the data servers. Sentinels get no password, unless the URL has it for
them. Names and passwords are percent-encoded. A server's certificate must contain the name or address by
which Sentinel announces it.
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
    """The Sentinels, and the name of the service that they watch (also known as `master_name`)."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: Mapping[str, str] = field(default_factory=dict)
    """Certificate options of redis-py and kombu; empty: no TLS."""

    @property
    def credentials(self) -> Mapping[str, Any]:  # Any: keywords of redis-py's clients
        """Database, login and transport of the data servers."""
        return {"db": self.db, "username": self.username, "password": self.password, **self.transport}

    @property
    def transport(self) -> Mapping[str, Any]:  # Any: keywords of redis-py's clients
        """Connection options of Sentinels and data servers."""
        return {"ssl": True, **self.tls} if self.tls else {}

    @property
    def broker_url(self) -> str:
        """The Sentinels in kombu's notation; kombu takes the service from its transport options."""
        user = quote(self.username or "", safe="")
        login = f"{user}:{quote(self.password, safe='')}@" if self.password else ""
        hosts = [f"{_bracketed(host)}:{port}" for host, port in self.sentinels]
        return ";".join(f"sentinel://{login}{host}/{self.db}" for host in hosts)


def is_sentinel(url: str) -> bool:
    return url.startswith((f"{SCHEME}://", f"{TLS_SCHEME}://"))


def sentinel_address(url: str) -> SentinelAddress:
    """Raises ValueError. The message does not repeat the URL: it may contain a password."""
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
    given = {name: value for name, value in options.items() if name in _TLS_OPTIONS}
    return {"ssl_cert_reqs": "required"} | given


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text.strip()}")
    if not parts.hostname:
        raise ValueError("a Sentinel URL names each Sentinel as host:port, with commas between")
    return parts.hostname, parts.port or DEFAULT_PORT


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
