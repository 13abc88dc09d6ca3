"""API keys and their limits, as the gateway uses them."""

from __future__ import annotations

from dataclasses import dataclass

from api.access.authenticator import Authenticator
from api.access.limits import Limiter


@dataclass(frozen=True)
class Access:
    """Who may call, and how much."""

    authenticator: Authenticator
    limiter: Limiter
