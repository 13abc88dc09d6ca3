"""The limit of open files, and the number of client connections that it allows.

Each connection is an open file. Redis connections (up to 32), uploads, results and the program itself need
files too. Without a reserve for them the gateway would accept clients that it cannot serve.
"""

from __future__ import annotations

import resource
from contextlib import suppress

import structlog

from shared.errors import OperatorError

log = structlog.get_logger()

RESERVED_FILES = 256
"""Files for everything except clients. If the limit is below twice this number, half of the limit."""
LEAST_FILES = 128
_MOST_FILES = 65_536
"""Used if the system sets no limit."""


def most_open_files() -> int:
    """The number of files that this process may open. Raises the soft limit to the hard limit first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, _MOST_FILES) if hard == resource.RLIM_INFINITY else hard
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FILES if soft == resource.RLIM_INFINITY else soft


def most_connections(files: int, chosen: int | None) -> int:
    """The limit of client connections for a limit of `files` open files. `chosen` is TAKT_MAX_CONNECTIONS.

    Raises OperatorError if the limit of open files is too low to run a gateway.
    """
    if files < LEAST_FILES:
        raise OperatorError(
            f"this process may open {files} files, and a gateway needs at least {LEAST_FILES} "
            f"(one per client and up to {RESERVED_FILES} for itself). Raise the limit: "
            "`ulimit -n 4096` in a shell, LimitNOFILE= in a systemd unit, `--ulimit nofile=4096` for Docker"
        )
    room = files - min(RESERVED_FILES, files // 2)
    if files < 2 * RESERVED_FILES or (chosen is not None and chosen > room):
        log.warning(
            "few_open_files",
            files=files,
            connections=room if chosen is None else min(chosen, room),
            meaning="connections beyond this number get 503; raise the limit of open files (ulimit -n)",
        )
    return room if chosen is None else min(chosen, room)
