"""What one key may use up, decided from its record."""

from __future__ import annotations

from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerDay, parse

from shared.access import KeyRecord

REQUESTS, ROWS = "requests", "rows"


@dataclass(frozen=True)
class Quota:
    """Requests a while, rows a day. None: as many as it likes."""

    key_id: str
    requests: RateLimitItem | None
    rows: RateLimitItem | None

    @property
    def policy(self) -> bytes:
        """As the IETF's RateLimit-Policy: `"requests";q=100;w=1, "rows";q=1000000;w=86400`."""
        both = ((REQUESTS, self.requests), (ROWS, self.rows))
        return ", ".join(
            f'"{name}";q={item.amount};w={item.get_expiry()}' for name, item in both if item
        ).encode()


def allowance_of(record: KeyRecord) -> Quota | None:
    """None where nothing is limited."""
    if not record.rate and record.rows_per_day is None:
        return None
    return Quota(
        record.id,
        parse(record.rate) if record.rate else None,
        None if record.rows_per_day is None else RateLimitItemPerDay(record.rows_per_day),
    )
