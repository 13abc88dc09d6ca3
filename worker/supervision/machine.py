"""What the groups of a supervisor share, and whether processes can be forked on this machine."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.settings import Settings
from shared.worker_records import SupervisorFacts
from worker.control.operating_system import is_linux


def why_not_forked(settings: Settings) -> str:
    """Why the workers of this machine load their models for themselves; empty: they are forked."""
    if settings.fork == "never":
        return "set by TAKT_FORK"
    return "" if is_linux() else "processes are forked on Linux only"


@dataclass(frozen=True)
class GroupContext:
    """What the groups of a supervisor share."""

    settings: Settings
    selector: selectors.BaseSelector
    facts: Callable[[], SupervisorFacts]
    on_environments: Callable[[Sequence[str]], None]
    on_deployed: Callable[[dict[str, list[str]]], None]
    clock: Callable[[], float] = time.monotonic
    early_ends: dict[int, int] = field(default_factory=dict)
    """pid → status of processes that ended before they were known."""
