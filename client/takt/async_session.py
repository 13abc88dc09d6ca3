"""`AsyncSession`: sends the calls of a client to the service, and retries those that may succeed later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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
    async_pieces_of,
    async_write,
    authorization,
    headers_of,
    jitter,
    timeout,
    translated_errors,
)

T = TypeVar("T")


class AsyncSession:
    """The connections of a client, for use in a single event loop."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = PATIENT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self._retries = retries
        with translated_errors(url):
            self._http = httpx.AsyncClient(
                base_url=url.rstrip("/"),
                headers=authorization(api_key),
                timeout=timeout(timeout_s),
                transport=transport,
            )

    async def close(self) -> None:
        """Close the connections: `await takt.close()`."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _do(self, call: Call[T]) -> T:
        async def once() -> T:
            async with self._closing(await self._open(call)) as response:
                await response.aread()
                return call.decode(answer_of(response))

        return await self._retried(once, repeatable=call.repeatable)

    @asynccontextmanager
    async def _streamed(self, call: Call[None]) -> AsyncIterator[httpx.Response]:
        """Yield a response with an unread body. It is not retried after the body has begun."""
        async with self._closing(await self._retried(lambda: self._open(call))) as response:
            yield response

    @asynccontextmanager
    async def _closing(self, response: httpx.Response) -> AsyncIterator[httpx.Response]:
        try:
            with translated_errors(self.url):
                yield response
        finally:
            await response.aclose()

    async def _retried(self, act: Callable[[], Awaitable[T]], *, repeatable: bool = True) -> T:
        for attempt in count(1):
            try:
                return await act()
            except TryLater as error:
                pause_s = self._retries.pause_s(error, attempt, jitter()) if repeatable else None
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError  # count has no end

    async def _open(self, call: Call[Any]) -> httpx.Response:
        """Return a successful response with an unread body (Any: the call's result type)."""
        with translated_errors(self.url):
            response = await self._http.send(self._request(call), stream=True)
        if response.is_success:
            return response
        async with self._closing(response):
            await response.aread()
            raise error_of(answer_of(response))

    def _request(self, call: Call[Any]) -> httpx.Request:
        content = async_pieces_of(call.body) if call.body else None
        return self._http.build_request(
            call.method, call.path, params=list(call.params), headers=headers_of(call), content=content
        )

    async def _write(self, call: Call[None], path: Path) -> int:
        async with self._closing(await self._open(call)) as response:
            with whole(path) as file:
                return await async_write(file, response.aiter_bytes())
