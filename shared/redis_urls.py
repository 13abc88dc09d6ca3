"""Complete Redis URLs, with the login and the certificate checks.

    redis://host:6379/0      without encryption
    rediss://host:6379/0     over TLS; the certificate and its name are checked, unless the URL disables it
                             (`?ssl_cert_reqs=none`). Client certificate: `?ssl_certfile=…&ssl_keyfile=…`
    rediss+sentinel://…      the same for Sentinels and for their servers (`shared/sentinels.py`)

redis-py and Celery's broker get the same URL. It always contains `ssl_cert_reqs`, because kombu checks no
certificate by default.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from shared.sentinels import SCHEME, TLS_SCHEME, is_sentinel, sentinel_address

TLS = ("rediss", TLS_SCHEME)
SCHEMES = ("redis", "rediss", "unix", SCHEME, TLS_SCHEME)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:@/?#]*)(:\d{1,5})?")
_OPTION = re.compile(r"db=\d+|[a-z_]*password=[^&]*|(?!db=)[A-Za-z_]+=[^&@]*")
_DATABASE = re.compile(r"/?\d*")
ENCODE = (
    "In a user name and a password, these characters are written percent-encoded: "
    "@ %40, : %3A, / %2F, ? %3F, # %23, % %25, [ %5B, ] %5D. "
    "Or set TAKT_REDIS_PASSWORD, which needs no encoding"
)


def check_url(url: str) -> None:
    """Raises ValueError if the URL is invalid or ambiguous. The message repeats no part of the URL, because
    any
    part may belong to a password that is not percent-encoded."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SCHEMES:
        raise ValueError(f"a Redis URL begins with {', '.join(f'{known}://' for known in SCHEMES)}")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    after = rest[len(authority) :]
    path, _, query = after.partition("#")[0].partition("?")
    login, at, hosts = authority.rpartition("@")
    if "@" in path or "@" in after.partition("#")[2]:
        raise ValueError(f"an @ follows a / or # that is not encoded. {ENCODE}")
    if "[" in login or "]" in login:
        raise ValueError(f"the user name or password contains a bracket. {ENCODE}")
    if not all(_HOST.fullmatch(host.strip()) for host in hosts.split(",")) or (at and not login):
        raise ValueError(f"the part after the password is not HOST or HOST:PORT. {ENCODE}")
    if query and not all(map(_OPTION.fullmatch, query.split("&"))):
        raise ValueError(
            f"the part after the ? is not NAME=VALUE, separated by &, with a number for db. {ENCODE}"
        )
    if scheme in ("redis", "rediss") and not _DATABASE.fullmatch(path):
        raise ValueError(f"the part after the host is not the number of a database. {ENCODE}")
    if is_sentinel(url):
        sentinel_address(url)


def completed(url: str, *, username: str = "", password: str = "", ca_file: str = "") -> str:
    """The URL with its missing parts; completing it twice changes nothing."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    if not login and password:
        login = f"{quote(username, safe='')}:{quote(password, safe='')}"
    query = parts.query
    if parts.scheme in TLS:
        options = dict(parse_qsl(query))
        query = urlencode(
            {"ssl_cert_reqs": "required"} | ({"ssl_ca_certs": ca_file} if ca_file else {}) | options
        )
    netloc = f"{login}@{hosts}" if login else hosts
    whole = f"{parts.scheme}://{netloc}{parts.path}"  # urlunsplit would change the slashes of unix:///…
    return f"{whole}?{query}" if query else whole
