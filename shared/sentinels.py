"""How a URL names a primary that Redis Sentinel watches, instead of a server:

    redis+sentinel://[user:password@]host:26379,host:26379/SERVICE[?db=N&sentinel_password=…]

The user and the password are the data servers'; Sentinels are asked without one, unless the URL says so.
Names and passwords are percent-encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SCHEME = "redis+sentinel"
DEFAULT_PORT = 26379


@dataclass(frozen=True)
class SentinelAddress:
    """The Sentinels, and what they call the pair (`master_name` elsewhere)."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    @property
    def credentials(self) -> Mapping[str, Any]:  # Any: keywords of redis-py's clients
        """What a client says to the data servers, besides where they are."""
        return {"db": self.db, "username": self.username, "password": self.password}

    @property
    def broker_url(self) -> str:
        """The same Sentinels as kombu names them; it takes the service from its transport options."""
        user = quote(self.username or "", safe="")
        login = f"{user}:{quote(self.password, safe='')}@" if self.password else ""
        hosts = [f"{_bracketed(host)}:{port}" for host, port in self.sentinels]
        return ";".join(f"sentinel://{login}{host}/{self.db}" for host in hosts)


def is_sentinel(url: str) -> bool:
    return url.startswith(f"{SCHEME}://")


def sentinel_address(url: str) -> SentinelAddress:
    """Raises ValueError, whose words do not repeat the URL: it may hold a password."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    options = dict(parse_qsl(parts.query))
    service = unquote(parts.path.strip("/"))
    if unknown := options.keys() - {"db", "sentinel_password"}:
        raise ValueError(f"a Sentinel URL takes db and sentinel_password, not {', '.join(sorted(unknown))}")
    if not service or "/" in service:
        raise ValueError("a Sentinel URL names its service: redis+sentinel://host:26379,host:26379/SERVICE")
    return SentinelAddress(
        sentinels=tuple(_host(host) for host in hosts.split(",")),
        service=service,
        db=int(options.get("db", "0")),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_password=options.get("sentinel_password"),
    )


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text.strip()}")
    if not parts.hostname:
        raise ValueError("a Sentinel URL names each Sentinel as host:port, with commas between")
    return parts.hostname, parts.port or DEFAULT_PORT


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
