"""The Python SDK of Takt, and the `takt` program.

from takt import Takt

with Takt("http://127.0.0.1:8000") as takt:
    takt.predict([5.1, 3.5, 1.4, 0.2], model="iris")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from takt.asynchronous import AsyncTakt
    from takt.client import Takt
    from takt.errors import TaktError
    from takt.formats import Format
    from takt.records import Job, Progress
    from takt.retries import Retries

__all__ = ["AsyncTakt", "Format", "Job", "Progress", "Retries", "Takt", "TaktError"]

_HOMES = {
    "AsyncTakt": "asynchronous",
    "Format": "formats",
    "Job": "records",
    "Progress": "records",
    "Retries": "retries",
    "Takt": "client",
    "TaktError": "errors",
}


def __getattr__(name: str) -> Any:  # Any: an export; imported late, so that `takt --help` does not load httpx
    if name in _HOMES:
        return getattr(import_module(f"takt.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
