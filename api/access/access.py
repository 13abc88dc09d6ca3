"""The two parts of access control that the gateway uses."""

from __future__ import annotations

from dataclasses import dataclass

from api.access.authenticator import Authenticator
from api.access.limits import Limiter


@dataclass(frozen=True)
class Access:
    """Authentication and quotas."""

    authenticator: Authenticator
    limiter: Limiter
