"""The quota of an API key, from its record."""

from __future__ import annotations

from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerDay, parse

from shared.access import KeyRecord

REQUESTS, ROWS = "requests", "rows"


@dataclass(frozen=True)
class Quota:
    """Requests per period and rows per day. None: unlimited."""

    key_id: str
    requests: RateLimitItem | None
    rows: RateLimitItem | None

    @property
    def policy(self) -> bytes:
        """The value of the IETF's RateLimit-Policy: `"requests";q=100;w=1, "rows";q=1000000;w=86400`."""
        both = ((REQUESTS, self.requests), (ROWS, self.rows))
        return ", ".join(
            f'"{name}";q={item.amount};w={item.get_expiry()}' for name, item in both if item
        ).encode()


def allowance_of(record: KeyRecord) -> Quota | None:
    """The quota of a key; None if it has no limits."""
    if not record.rate and record.rows_per_day is None:
        return None
    return Quota(
        record.id,
        parse(record.rate) if record.rate else None,
        None if record.rows_per_day is None else RateLimitItemPerDay(record.rows_per_day),
    )
