"""Takt's Python SDK, and the `takt` program.

from takt import Takt

with Takt("http://127.0.0.1:8000") as takt:
    takt.predict([5.1, 3.5, 1.4, 0.2], model="iris")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from takt.client import Job, Takt

__all__ = ["Job", "Takt"]


def __getattr__(name: str) -> Any:  # Any: whatever the SDK exports; late, so that `takt --help` loads no HTTP
    if name in __all__:
        from takt import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
