"""A Redis URL with all that it takes to connect: who asks, and whom a server's certificate is to be from.

    redis://host:6379/0      in the clear
    rediss://host:6379/0     over TLS; the certificate is checked, its name too, unless the URL says otherwise
                             (`?ssl_cert_reqs=none`). A client's own: `?ssl_certfile=…&ssl_keyfile=…`
    rediss+sentinel://…      the same of Sentinels, and of the servers that they name (`shared/sentinels.py`)

redis-py and Celery's broker are given the same URL. It says that the certificate is to be checked, for
kombu does not check any by itself.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from shared.sentinels import TLS_SCHEME

TLS = ("rediss", TLS_SCHEME)


def completed(url: str, *, username: str = "", password: str = "", ca_file: str = "") -> str:
    """The URL with what it does not say itself; completing it twice changes nothing."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    if not login and password:
        login = f"{quote(username, safe='')}:{quote(password, safe='')}"
    query = parts.query
    if parts.scheme in TLS:
        said = dict(parse_qsl(query))
        query = urlencode(
            {"ssl_cert_reqs": "required"} | ({"ssl_ca_certs": ca_file} if ca_file else {}) | said
        )
    netloc = f"{login}@{hosts}" if login else hosts
    whole = f"{parts.scheme}://{netloc}{parts.path}"  # urlunsplit would take the slashes of unix:///…
    return f"{whole}?{query}" if query else whole
