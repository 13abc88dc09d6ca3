"""Webhook targets: the permitted URLs, and the permitted addresses of their hosts.

A worker posts to a URL chosen by a client, from inside the operator's network. The URL is checked at
submission, so that the client gets an early error. The addresses are checked again when a worker connects,
because a name may resolve to another address by then; this second check is the protection.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias
from urllib.parse import urlsplit

from shared.errors import InvalidInputError
from shared.input_problems import InputProblem
from shared.settings import Settings

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolve: TypeAlias = Callable[[str, int], Sequence[Address]]
"""The addresses of a host and port; raises OSError if there are none."""

MAX_URL = 2048
_PORTS = {"http": 80, "https": 443}
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA = frozenset(
    # AWS, GCP, Azure and others; AWS by IPv6, and for pods; GCP by IPv6; Alibaba; Oracle; Azure's wire
    # server, which is a public address
    map(
        ip_address,
        (
            *("169.254.169.254", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
            *("100.100.100.200", "192.0.0.192", "168.63.129.16"),
        ),
    )
)


@dataclass(frozen=True)
class WebhookTarget:
    """The parts of a webhook's URL."""

    tls: bool
    host: str  # without the brackets of IPv6
    port: int
    path: str  # with its query


def checked_url(url: str, settings: Settings, resolve: Resolve | None = None) -> str:
    """The URL, if a webhook may currently be sent there.

    Blocks on DNS: run it in a thread. A host without an address is accepted, because its webhook is retried.
    Raises InvalidInputError with the field `webhook_url` and the reason.
    """
    if not settings.webhook_keys():
        raise _invalid("Webhooks are disabled: the operator has not set TAKT_WEBHOOK_SECRET.")
    target = target_of(url)
    try:
        addresses = (resolve or system_addresses)(target.host, target.port)
    except OSError:
        return url
    if not permitted(addresses, settings.webhook_networks()):
        raise _invalid(refusal(target.host))
    return url


def target_of(url: str) -> WebhookTarget:
    """Raises InvalidInputError if the URL is invalid for a webhook, whatever the addresses of its host."""
    if len(url) > MAX_URL or not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise _invalid(f"A webhook's URL has at most {MAX_URL} ASCII characters, without spaces.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _invalid(f"This is not a URL: {error}.") from None
    if parts.scheme not in _PORTS:
        raise _invalid("A webhook's URL begins with http:// or https://.")
    if "@" in parts.netloc:
        raise _invalid(
            "A webhook's URL must not contain a user name or password: verify the signature instead."
        )
    if not host or "%" in host or port == 0:
        raise _invalid("A webhook's URL needs a host, and its port, if given, must be above 0.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookTarget(parts.scheme == "https", host, port or _PORTS[parts.scheme], path)


def permitted(addresses: Sequence[Address], networks: Sequence[Network]) -> list[Address]:
    """The addresses that a webhook may reach: public addresses, and addresses in the operator's `networks`.

    Cloud metadata, link-local, multicast and unspecified addresses are never permitted.
    """
    return [address for address in addresses if _permitted(_plain(address), networks)]


def system_addresses(host: str, port: int) -> list[Address]:
    """The addresses from this machine's resolver. Raises OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # an empty label, or one that is too long
        raise OSError(f"{host} is no host name") from error
    return list(dict.fromkeys(ip_address(str(info[4][0]).partition("%")[0]) for info in found))


def refusal(host: str) -> str:
    """The message about a forbidden host. It omits the host's addresses, which are the operator's."""
    return f"{host} has no address that webhooks may reach; TAKT_WEBHOOK_ALLOW permits private networks."


def _permitted(address: Address, networks: Sequence[Network]) -> bool:
    if address in _METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    public = address.is_global and (address.version == 4 or address in _GLOBAL_UNICAST)
    return public or any(address in network for network in networks)


def _plain(address: Address) -> Address:
    """The IPv4 address behind a mapped IPv6 address; other addresses unchanged."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _invalid(reason: str) -> InvalidInputError:
    problem = InputProblem(
        row=None, field="webhook_url", loc=["webhook_url"], msg=reason, type="invalid_webhook_url"
    )
    return InvalidInputError(reason, problems=[problem])
