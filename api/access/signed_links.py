"""Signed links: download links that need no API key, since a browser that saves a file cannot send a key.

    /jobs/0e6f…/results?format=csv&ticket=3f9c1a7e52b0.1772352060000.9b1f…

A ticket consists of the id of the key that requested it, its end by Redis' clock, and an HMAC-SHA-256 over
both, path and query. The HMAC key is the stored hash of the API key, so that no other secret is needed: every
gateway has the hash. A ticket is valid for a single address, and no longer than its API key.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from api.http.parameter_errors import TICKET
from shared.api_keys import KeyRecord

LASTS_S = 60
"""Time within which a download must begin; its duration is not limited."""
_MARK = f"{TICKET}=".encode()


@dataclass(frozen=True)
class SignedPath:
    """The ticket of a link."""

    key_id: str
    ends_ms: int
    seal: str

    def __str__(self) -> str:
        return f"{self.key_id}.{self.ends_ms}.{self.seal}"

    def opens(self, record: KeyRecord, path: str, query: bytes, now_ms: float) -> bool:
        """Whether the ticket is valid for this key, address and time. `query`: the part before the ticket."""
        return now_ms < self.ends_ms and hmac.compare_digest(
            self.seal, _seal(record, self.ends_ms, path, query)
        )


def ticket_of(record: KeyRecord, path: str, query: bytes, now_ms: float) -> SignedPath:
    ends_ms = round(now_ms) + LASTS_S * 1000
    return SignedPath(record.id, ends_ms, _seal(record, ends_ms, path, query))


def linked(path: str, query: bytes, ticket: SignedPath) -> str:
    """Add a ticket to an address."""
    return f"{path}?{query.decode()}{'&' if query else ''}{_MARK.decode()}{ticket}"


def read_link(whole: bytes) -> tuple[bytes, SignedPath] | None:
    """Split a query with a ticket at its end. → the query before it, and the ticket; None if it has none"""
    query, mark, ticket = whole.rpartition(_MARK)
    key_id, _, rest = ticket.decode("latin-1").partition(".")
    ends, _, seal = rest.partition(".")
    if not mark or not (query == b"" or query.endswith(b"&")):
        return None
    if not (ends.isascii() and ends.isdigit() and len(ends) <= 15 and seal.isascii()):
        return None
    return query.removesuffix(b"&"), SignedPath(key_id, int(ends), seal)


def key_id_of_link(whole: bytes) -> str:
    """The key id in a query's ticket; empty if it has none."""
    found = read_link(whole)
    return "" if found is None else found[1].key_id


def _seal(record: KeyRecord, ends_ms: int, path: str, query: bytes) -> str:
    about = b"\n".join((b"takt link", record.id.encode(), b"%d" % ends_ms, path.encode(), query))
    return hmac.new(record.sha256.encode(), about, hashlib.sha256).hexdigest()
