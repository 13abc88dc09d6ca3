"""Which server answers: Redis ≥ 7.0 or Valkey ≥ 7.2, checked when a program starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import UnsupportedServer

_LEAST = {"redis": (7, 0), "valkey": (7, 2)}


@dataclass(frozen=True)
class Server:
    name: str  # redis | valkey
    version: str

    @property
    def release(self) -> tuple[int, ...]:
        """Major and minor."""
        return tuple(int(part) for part in self.version.split(".")[:2])

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def check_server(info: Mapping[str, object]) -> Server:
    """The server of an `INFO server` answer. Raises UnsupportedServer."""
    # Valkey keeps `redis_version` at 7.2.4 for old clients and says its own beside it
    name = "valkey" if "valkey_version" in info else "redis"
    server = Server(name, str(info.get(f"{name}_version", "0")))
    least = _LEAST[name]
    if server.release < least:
        raise UnsupportedServer(
            f"{server} is too old: Takt needs {name} {'.'.join(map(str, least))} or later."
        )
    return server
