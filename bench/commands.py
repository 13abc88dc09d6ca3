"""Common entry of the bench commands: exit codes, error messages and interruption."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
from collections.abc import Callable

import httpx
import redis

from bench.calls import NoAnswer, WrongAnswer
from bench.servers import DidNotStart
from shared.errors import ServiceError

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


def ended(name: str, measure: Callable[[], object]) -> int:
    """Run a command's function and return the exit code; the reason for a failure goes to standard error.

    SIGTERM and SIGHUP have the effect of Ctrl-C, so that child programs end with the command.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        measure()
    except KeyboardInterrupt:
        say(f"{name}: interrupted; all child programs have ended")
        return INTERRUPTED
    except (ValueError, ServiceError, DidNotStart, NoAnswer, WrongAnswer) as error:
        return _failed(name, str(error))
    except (OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
        return _failed(name, f"{error!r}\n{getattr(error, 'output', None) or ''}")
    except (httpx.HTTPError, redis.RedisError) as error:
        return _failed(name, repr(error))
    return 0


def say(line: str) -> None:
    """Print progress to standard error, apart from the report."""
    print(line, file=sys.stderr, flush=True)


def _failed(name: str, reason: str) -> int:
    say(f"{name}: {reason}")
    return 1
