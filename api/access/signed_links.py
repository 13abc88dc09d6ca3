"""Links that bear their own permission: for a browser that saves a file, which can send no key with a link.

    /jobs/0e6f…/results?format=csv&ticket=3f9c1a7e52b0.1772352060000.9b1f…

A ticket is the id of the key that asked for it, its end by Redis' clock, and an HMAC-SHA-256 over both, path
and query, under the stored hash of that key. So no further secret has to be kept or shared: every gateway has
the hash, a ticket opens no other address, and it ends with its key.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from shared.access import KeyRecord

LASTS_S = 60
"""Until a download must have begun; it may take as long as it likes."""
_MARK = b"ticket="


@dataclass(frozen=True)
class SignedPath:
    """What a link bears."""

    key_id: str
    ends_ms: int
    seal: str

    def __str__(self) -> str:
        return f"{self.key_id}.{self.ends_ms}.{self.seal}"

    def opens(self, record: KeyRecord, path: str, query: bytes, now_ms: float) -> bool:
        """Whether it is this key's, for this address, now. `query`: what stands before the ticket."""
        return now_ms < self.ends_ms and hmac.compare_digest(
            self.seal, _seal(record, self.ends_ms, path, query)
        )


def ticket_of(record: KeyRecord, path: str, query: bytes, now_ms: float) -> SignedPath:
    ends_ms = round(now_ms) + LASTS_S * 1000
    return SignedPath(record.id, ends_ms, _seal(record, ends_ms, path, query))


def linked(path: str, query: bytes, ticket: SignedPath) -> str:
    """The address with its ticket."""
    return f"{path}?{query.decode()}{'&' if query else ''}{_MARK.decode()}{ticket}"


def read_link(whole: bytes) -> tuple[bytes, SignedPath] | None:
    """A query with a ticket at its end: what stands before it, and the ticket. None where there is none."""
    query, mark, said = whole.rpartition(_MARK)
    key_id, _, rest = said.decode("latin-1").partition(".")
    ends, _, seal = rest.partition(".")
    if not mark or not (query == b"" or query.endswith(b"&")):
        return None
    if not (ends.isascii() and ends.isdigit() and len(ends) <= 15 and seal.isascii()):
        return None
    return query.removesuffix(b"&"), SignedPath(key_id, int(ends), seal)


def key_id_of_link(whole: bytes) -> str:
    """The id of the key that a query's ticket names; empty if it has none."""
    found = read_link(whole)
    return "" if found is None else found[1].key_id


def _seal(record: KeyRecord, ends_ms: int, path: str, query: bytes) -> str:
    about = b"\n".join((b"takt link", record.id.encode(), b"%d" % ends_ms, path.encode(), query))
    return hmac.new(record.sha256.encode(), about, hashlib.sha256).hexdigest()
