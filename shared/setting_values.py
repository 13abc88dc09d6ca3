"""Parsers and checks of settings: sizes with a unit, secrets, networks, origins, roles, folders, lists.

Each function raises ValueError with a message that does not repeat a secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic_core import ErrorDetails

from shared.api_keys import Role

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)(b?)", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def size_in_bytes(text: str) -> int:
    """A size in bytes: `65536`, `64k`, `10GB` (powers of 1000), `512MiB`, `64Ki` (powers of 1024)."""
    found = _SIZE.fullmatch(text.strip().replace("_", ""))
    if found is None or (found[3] and not found[2]):
        raise ValueError(
            "a size is a number of bytes, alone or with a unit: kB, MB, GB, TB (powers of 1000) or "
            "KiB, MiB, GiB, TiB (powers of 1024); the B may be left out"
        )
    size = Fraction(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2].lower()]
    if size.denominator != 1:
        raise ValueError("a size is a whole number of bytes")
    return int(size)


def webhook_keys(text: str) -> tuple[bytes, ...]:
    """The keys of Standard Webhooks secrets."""
    return tuple(map(_webhook_key, text.split()))


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(ip_network, listed(text)))


def check_origins(text: str) -> None:
    """Raises ValueError unless the text lists browser origins, or `*`."""
    for origin in listed(text):
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin!r} is not an origin: write https://host or https://host:port, without a path"
            )


def roles_by_group(text: str) -> dict[str, frozenset[Role]]:
    """Roles of groups: `operators=read+submit,admins=admin`."""
    found = {}
    for part in listed(text):
        group, equals, names = part.rpartition("=")
        unknown = set(names.split("+")) - set(Role)
        if not equals or not group.strip() or unknown:
            raise ValueError(
                f"{part!r} is not GROUP=ROLE or GROUP=ROLE+ROLE with the roles {', '.join(Role)}"
            )
        found[group.strip()] = frozenset(map(Role, names.split("+")))
    return found


def explanation(detail: ErrorDetails) -> str:
    """A validation error as a message that names the environment variable."""
    reason = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return reason
    name = str(detail["loc"][0])
    return f"{name if name.isupper() else f'TAKT_{name.upper()}'}: {reason}"


def listed(text: str) -> tuple[str, ...]:
    """The parts between commas, without surrounding spaces and empty parts."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _webhook_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("a webhook secret is `whsec_` and 24 to 64 random bytes in base64")
    return key


def is_folder(url: str) -> bool:
    """Whether the URL or path names a folder of this machine."""
    return urlsplit(url).scheme in ("file", "")


def folder_of(url: str) -> Path:
    """The folder of a file URL or a path."""
    return Path(unquote(urlsplit(url).path)) if urlsplit(url).scheme == "file" else Path(url)
