"""What a request asks for and of whom, as its head says it (RFC 9112, 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException

_EVERY_SERVER = b"*"


def origin_form(target: bytes) -> bytes:
    """A target as the path that it names: of `http://host/path` the path, which clients behind a proxy send;
    `*` stays, as `/*`. Others stay as they are."""
    if target == _EVERY_SERVER:
        return b"/*"
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return target
    authority_end = min((at for at in map(rest.find, (b"/", b"?")) if at >= 0), default=len(rest))
    path = rest[authority_end:]
    return path if path.startswith(b"/") else b"/" + path


def wrong_head(headers: Sequence[tuple[bytes, bytes]], version: str) -> HTTPException | None:
    """Why a request with these headers is not answered; None if nothing is wrong with them.

    Who is asked must be said once (RFC 9112, 3.2), and how the body is framed must be known here (6.1).
    """
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding" and (version == "1.0" or value.strip().lower() != b"chunked"):
            return HTTPException(501, "The only Transfer-Encoding that is read is chunked, of HTTP/1.1.")
    if version not in ("1.0", "1.1"):
        return HTTPException(505, "HTTP/1.1 and HTTP/1.0 are spoken here.")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        return HTTPException(400, f"The request has {hosts or 'no'} Host fields; it must have one.")
    return None
