"""`Session`: sends the calls of a client to the service, and retries those that may succeed later."""

# Generated from async_session.py by `make sync-client`: edit that file.
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from takt.atomic_files import whole
from takt.calls import Call
from takt.decoding import error_of
from takt.errors import TryLater
from takt.retries import PATIENT, Retries
from takt.wire import (
    DEFAULT_URL,
    TIMEOUT_S,
    answer_of,
    authorization,
    headers_of,
    jitter,
    pieces_of,
    timeout,
    translated_errors,
    write,
)

T = TypeVar("T")


class Session:
    """The connections of a client, for use in a single event loop."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = PATIENT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self._retries = retries
        with translated_errors(url):
            self._http = httpx.Client(
                base_url=url.rstrip("/"),
                headers=authorization(api_key),
                timeout=timeout(timeout_s),
                transport=transport,
            )

    def close(self) -> None:
        """Close the connections: `takt.close()`."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, call: Call[T]) -> T:
        def once() -> T:
            with self._closing(self._open(call)) as response:
                response.read()
                return call.decode(answer_of(response))

        return self._retried(once, repeatable=call.repeatable)

    @contextmanager
    def _streamed(self, call: Call[None]) -> Iterator[httpx.Response]:
        """Yield a response with an unread body. It is not retried after the body has begun."""
        with self._closing(self._retried(lambda: self._open(call))) as response:
            yield response

    @contextmanager
    def _closing(self, response: httpx.Response) -> Iterator[httpx.Response]:
        try:
            with translated_errors(self.url):
                yield response
        finally:
            response.close()

    def _retried(self, act: Callable[[], T], *, repeatable: bool = True) -> T:
        for attempt in count(1):
            try:
                return act()
            except TryLater as error:
                pause_s = self._retries.pause_s(error, attempt, jitter()) if repeatable else None
                if pause_s is None:
                    raise
            time.sleep(pause_s)
        raise AssertionError  # count has no end

    def _open(self, call: Call[Any]) -> httpx.Response:
        """Return a successful response with an unread body (Any: the call's result type)."""
        with translated_errors(self.url):
            response = self._http.send(self._request(call), stream=True)
        if response.is_success:
            return response
        with self._closing(response):
            response.read()
            raise error_of(answer_of(response))

    def _request(self, call: Call[Any]) -> httpx.Request:
        content = pieces_of(call.body) if call.body else None
        return self._http.build_request(
            call.method, call.path, params=list(call.params), headers=headers_of(call), content=content
        )

    def _write(self, call: Call[None], path: Path) -> int:
        with self._closing(self._open(call)) as response, whole(path) as file:
            return write(file, response.iter_bytes())
