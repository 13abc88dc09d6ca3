"""Unknown `TAKT_…` variables: a misspelt setting would otherwise silently keep its default."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import structlog

from shared.settings import Settings, environment_names

log = structlog.get_logger(__name__)

PREFIX = "TAKT_"
OTHERS = frozenset(
    {
        *("TAKT_API_KEY", "TAKT_URL"),  # the client's
        *("TAKT_API_IMAGE", "TAKT_WORKER_IMAGE", "TAKT_WORKER_CUDA_IMAGE", "TAKT_REDIS_IMAGE"),
        *("TAKT_REDIS_MAXMEMORY", "TAKT_REDIS_APPENDFSYNC", "TAKT_STOP_GRACE_PERIOD"),  # docker-compose.yml's
    }
)
"""Variables of other programs."""
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")
"""Variables that Kubernetes sets for each Service of the namespace, such as TAKT_VALKEY_SERVICE_HOST."""
_ENV_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")


@dataclass(frozen=True)
class UnknownSetting:
    """A variable that no program reads."""

    name: str
    nearest: str  # the most similar setting; empty: none is similar

    @property
    def sentence(self) -> str:
        hint = f"Did you mean {self.nearest}?" if self.nearest else "docs/settings.md lists all settings."
        return f"{self.name} is not a setting of Takt and has no effect. {hint}"


def unknown_settings(names: Iterable[str]) -> Iterator[UnknownSetting]:
    """The names that begin with TAKT_ and are no known variable, in alphabetical order."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | OTHERS
    for name in sorted(set(names)):
        if name.upper().startswith(PREFIX) and name.upper() not in known and not _SERVICE_LINK.search(name):
            nearest = get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.75)
            yield UnknownSetting(name, nearest[0] if nearest else "")


def unknown_in_environment() -> list[UnknownSetting]:
    """The unknown settings of this process's environment."""
    return list(unknown_settings(environment_names()))


def unknown_in_file(path: Path) -> list[UnknownSetting]:
    """The unknown settings of a file of variables, such as docker compose's `.env`; none without a file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return list(unknown_settings(found[1] for line in lines if (found := _ENV_LINE.match(line))))


def warn_of_unknown_settings() -> None:
    """Log the unknown settings of this process's environment. Call it once, when a program starts."""
    for unknown in unknown_in_environment():
        log.warning("setting_unknown", name=unknown.name, meaning=unknown.sentence)
