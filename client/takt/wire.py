"""What both clients need of httpx: calls as its requests, its answers as ours, its errors as ours."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from takt.calls import Call
from takt.decoding import Answer
from takt.errors import Refused, TimedOut, Unreachable

DEFAULT_URL = "http://127.0.0.1:8000"

TIMEOUT_S = 65.0
"""Longer than the longest wait that a gateway grants, so that the gateway's own answer comes first."""


def access(api_key: str | None) -> dict[str, str]:
    """The header that bears the key, where there is one."""
    key = (os.environ.get("TAKT_API_KEY", "") if api_key is None else api_key).strip()
    return {"authorization": f"Bearer {key}"} if key else {}


def timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(5.0, seconds))


def luck() -> float:
    """What spreads retries."""
    return random.random()  # noqa: S311 - it hides nothing


def head(call: Call[Any]) -> dict[str, str]:
    """The headers of a call's request (Any: whatever its answer becomes)."""
    return (call.body.headers if call.body else {}) | dict(call.headers)


def answer_of(response: httpx.Response) -> Answer:
    """Of a response that was read."""
    return Answer(response.status_code, response.headers, response.content, str(response.url))


@contextmanager
def in_our_words(url: str) -> Iterator[None]:
    """What httpx raises, as errors of this SDK."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise Refused(f"{url} is not a URL of a service: {error}") from error
    except httpx.TimeoutException as error:
        raise TimedOut(f"{url} did not answer in time ({type(error).__name__})") from error
    except httpx.RemoteProtocolError as error:
        raise Unreachable(f"{url} broke off: {error}") from error
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise Unreachable(f"{url} does not answer: {error or type(error).__name__}") from error
