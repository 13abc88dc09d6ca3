"""Request targets, and checks of a request's head (RFC 9112, 3.2 and 6.1)."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException

_EVERY_SERVER = b"*"


def origin_form(target: bytes) -> bytes:
    """The path of a request target.

    `http://host/path`, which clients send to a proxy, becomes `/path`; `*` becomes `/*`. Other targets are
    returned unchanged.
    """
    if target == _EVERY_SERVER:
        return b"/*"
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return target
    authority_end = min((at for at in map(rest.find, (b"/", b"?")) if at >= 0), default=len(rest))
    path = rest[authority_end:]
    return path if path.startswith(b"/") else b"/" + path


def wrong_head(headers: Sequence[tuple[bytes, bytes]], version: str) -> HTTPException | None:
    """The error for an invalid head; None if the head is valid.

    A request needs exactly one Host field (RFC 9112, 3.2) and a supported Transfer-Encoding (6.1).
    """
    names = [name for name, _ in headers]
    if version == "1.1" and names.count(b"host") == 1 and b"transfer-encoding" not in names:
        return None
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding" and (version == "1.0" or value.strip().lower() != b"chunked"):
            return HTTPException(501, "Unsupported Transfer-Encoding: use chunked with HTTP/1.1.")
    if version not in ("1.0", "1.1"):
        return HTTPException(505, "Unsupported HTTP version: use HTTP/1.1 or HTTP/1.0.")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        return HTTPException(400, f"The request has {hosts or 'no'} Host fields; it must have exactly one.")
    return None
