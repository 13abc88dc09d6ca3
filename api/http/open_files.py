"""How many files this process may open, and how many of them are for clients.

Each connection is an open file. The others are Redis' connections (up to 32), files of uploads and results,
and the program's own. Without a reserve for them a gateway would accept clients that it cannot serve.
"""

from __future__ import annotations

import resource
from contextlib import suppress

import structlog

from shared.errors import OperatorError

log = structlog.get_logger()

RESERVED_FILES = 256
"""For everything that is not a client; half of a limit that is below twice as much."""
LEAST_FILES = 128
_MOST_FILES = 65_536
"""Where the system sets no limit."""


def most_open_files() -> int:
    """How many files this process may open. Raises its own limit as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, _MOST_FILES) if hard == resource.RLIM_INFINITY else hard
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FILES if soft == resource.RLIM_INFINITY else soft


def most_connections(files: int, chosen: int | None) -> int:
    """How many clients may be connected if `files` may be open; `chosen`: TAKT_MAX_CONNECTIONS.

    Raises OperatorError if there are too few files to serve anybody.
    """
    if files < LEAST_FILES:
        raise OperatorError(
            f"this process may open {files} files, and a gateway needs at least {LEAST_FILES} "
            f"(one for each client, and up to {RESERVED_FILES} for itself). Raise the limit: "
            "`ulimit -n 4096` in a shell, LimitNOFILE= in a systemd unit, `--ulimit nofile=4096` for Docker"
        )
    room = files - min(RESERVED_FILES, files // 2)
    if files < 2 * RESERVED_FILES or (chosen is not None and chosen > room):
        log.warning(
            "few_open_files",
            files=files,
            connections=room if chosen is None else min(chosen, room),
            meaning="further clients are answered 503; raise the limit of open files (ulimit -n)",
        )
    return room if chosen is None else min(chosen, room)
