"""How the commands of the bench end: with what they measured, with a reason, or interrupted."""

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
from shared.errors import TaktError

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended."""


def ended(name: str, measure: Callable[[], object]) -> int:
    """Run what a command does. → its exit code; why it failed is said on standard error.

    SIGTERM and SIGHUP end it as Ctrl-C does, so that what it started ends with it.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        measure()
    except KeyboardInterrupt:
        say(f"{name}: interrupted; everything it started has ended")
        return INTERRUPTED
    except (ValueError, TaktError, DidNotStart, NoAnswer, WrongAnswer) as error:
        return _failed(name, str(error))
    except (OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
        return _failed(name, f"{error!r}\n{getattr(error, 'output', None) or ''}")
    except (httpx.HTTPError, redis.RedisError) as error:
        return _failed(name, repr(error))
    return 0


def say(line: str) -> None:
    """Progress, which is not the report."""
    print(line, file=sys.stderr, flush=True)


def _failed(name: str, reason: str) -> int:
    say(f"{name}: {reason}")
    return 1
