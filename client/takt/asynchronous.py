"""`AsyncTakt(url)`: the same as `Takt`, for asyncio.

async with AsyncTakt("http://127.0.0.1:8000") as takt:
    job = await takt.wait((await takt.submit("flowers.csv", model="iris")).id)
    async for row in takt.results(job.id): ...
"""

# ruff: noqa: A002 - `format` is the service's own word
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import httpx

from takt import calls
from takt.bodies import Body, InputRow, Rows
from takt.calls import Call, MoreTerms, Terms, Wanted
from takt.decoding import error_of
from takt.errors import NotTakt, Refused, TryLater
from takt.files import whole
from takt.following import ended_well, file_format, is_about_events
from takt.formats import Format
from takt.records import Health, Job, JobPage, Json, Model, Progress, Report
from takt.retries import PATIENT, Retries
from takt.streams import Event, Events, Lines, rows_of
from takt.wire import DEFAULT_URL, TIMEOUT_S, access, answer_of, head, in_our_words, luck, timeout

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

T = TypeVar("T")


class AsyncTakt:
    """A client of one service. Holds connections: close it, or use it as a context, in one event loop.

    `api_key` is sent with every call; without it, what TAKT_API_KEY holds.

    Every method raises what `takt.errors` draws. What may succeed later is tried again, as `retries` says.
    """

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
        with in_our_words(url):
            self._http = httpx.AsyncClient(
                base_url=url.rstrip("/"),
                headers=access(api_key),
                timeout=timeout(timeout_s),
                transport=transport,
            )

    async def predict(self, row: InputRow, *, model: str | None = None, version: str | None = None) -> Json:
        """The model's answer for one row; the service's default model where none is named."""
        return await self._do(calls.predict(row, model, version))

    async def predict_batch(
        self, rows: Sequence[InputRow], *, model: str | None = None, version: str | None = None
    ) -> list[Json]:
        """The answers for some rows, in their order."""
        return await self._do(calls.predict_batch(rows, model, version))

    async def submit(
        self,
        rows: Rows,
        *,
        model: str,
        format: Format | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], None] | None = None,
        **terms: Unpack[MoreTerms],
    ) -> Job:
        """Queue rows as a job; returns once they are sent. `on_sent` is told the bytes sent so far.

        Raises ValueError if the rows' format is not known, OSError where their file cannot be read.
        """
        call = calls.submit(rows, Terms(model, **terms), format, idempotency_key)
        return await self._do(calls.told(call, on_sent) if on_sent else call)

    async def check(
        self,
        rows: Rows,
        *,
        model: str,
        format: Format | None = None,
        **terms: Unpack[MoreTerms],
    ) -> Report:
        """Whether rows fit a model; nothing runs and no job is made."""
        return await self._do(calls.check(rows, Terms(model, **terms), format))

    async def job(self, job_id: str) -> Job:
        """How far the job is."""
        return await self._do(calls.job(job_id))

    async def jobs(self, **wanted: Unpack[Wanted]) -> AsyncIterator[Job]:
        """All jobs that fit, newest first; pages are fetched as they are needed."""
        cursor: str | None = None
        while True:
            page = await self.page(cursor=cursor, **wanted)
            for job in page.jobs:
                yield job
            cursor = page.next
            if cursor is None:
                return

    async def page(
        self, *, limit: int | None = None, cursor: str | None = None, **wanted: Unpack[Wanted]
    ) -> JobPage:
        """Some of the jobs that fit."""
        return await self._do(calls.jobs(wanted, limit=limit, cursor=cursor))

    async def watch(self, job_id: str) -> AsyncIterator[Progress]:
        """How far the job is, again and again until it has ended: as it tells, or by polling."""
        heard, streaming = "", True
        while True:
            try:
                if streaming:
                    async for event in self._events(job_id, heard):
                        heard = event.id
                        yield event.progress
                        if event.progress.ended:
                            return
            except (Refused, NotTakt) as error:
                streaming = not is_about_events(error)
            except TryLater:
                pass  # broken off: the poll tells whether the service is there
            polled = await self._do(calls.poll(job_id))
            yield polled.job
            if polled.job.ended:
                return
            await asyncio.sleep(polled.pause_s)

    async def wait(self, job_id: str) -> Job:
        """The job once it has succeeded. Raises JobFailed if it ended otherwise."""
        async for _ in self.watch(job_id):
            pass
        return ended_well(await self.job(job_id))

    def results(self, job_id: str, *, partial: bool = False) -> AsyncIterator[Json]:
        """The job's results as they come, one a row, in the order of its inputs.

        `partial`: those that are there, of a job that runs or was canceled.
        """
        return self._rows(calls.results(job_id, Format.NDJSON, partial=partial))

    def errors(self, job_id: str) -> AsyncIterator[Json]:
        """The rows that failed, and why."""
        return self._rows(calls.errors(job_id, Format.NDJSON))

    async def results_table(self, job_id: str, *, partial: bool = False) -> pa.Table:
        """The results as an Arrow table; needs pyarrow."""
        from takt.tables import table_of

        with TemporaryDirectory(prefix="takt-") as folder:
            path = Path(folder) / "results.arrow"
            await self.download(job_id, path, partial=partial)
            return table_of(path)

    async def results_frame(self, job_id: str, *, partial: bool = False) -> pd.DataFrame:
        """The results as a pandas DataFrame; needs pandas and pyarrow."""
        from takt.tables import frame_of

        return frame_of(await self.results_table(job_id, partial=partial))

    async def download(
        self,
        job_id: str,
        path: str | Path,
        *,
        format: Format | None = None,
        partial: bool = False,
    ) -> int:
        """Write the results to a file, in the format of its ending. The file is there whole, or not at all.

        → its bytes. Raises ValueError if the ending names no format, OSError.
        """
        call = calls.results(job_id, file_format(path, format), partial=partial)
        return await self._patiently(lambda: self._write(call, Path(path)))

    async def stream(
        self,
        job_id: str,
        format: Format,
        *,
        partial: bool = False,
        only_errors: bool = False,
    ) -> AsyncIterator[bytes]:
        """The bytes of the results, or of the failed rows, as they come."""
        call = calls.errors(job_id, format) if only_errors else calls.results(job_id, format, partial=partial)
        async with self._streamed(call) as response:
            async for piece in response.aiter_bytes():
                yield piece

    async def manifest(self, job_id: str) -> Json:
        """Counts, digests and versions: what a job's results stand on."""
        return await self._do(calls.manifest(job_id))

    async def cancel(self, job_id: str) -> Job:
        """End the job; what is done stays readable."""
        return await self._do(calls.act(job_id, "cancel"))

    async def pause(self, job_id: str) -> Job:
        """Start no more of the job until it is resumed."""
        return await self._do(calls.act(job_id, "pause"))

    async def resume(self, job_id: str) -> Job:
        return await self._do(calls.act(job_id, "resume"))

    async def prioritize(self, job_id: str, priority: int) -> Job:
        """0–9, as weight."""
        return await self._do(calls.prioritize(job_id, priority))

    async def delete(self, job_id: str) -> None:
        """Remove a job that has ended, and its data."""
        await self._do(calls.delete(job_id))

    async def models(self) -> list[Model]:
        """What is served."""
        return await self._do(calls.models)

    async def health(self) -> Health:
        """How the service does."""
        return await self._do(calls.health)

    async def close(self) -> None:
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

        return await self._patiently(once, repeatable=call.repeatable)

    @asynccontextmanager
    async def _streamed(self, call: Call[None]) -> AsyncIterator[httpx.Response]:
        """A response whose body is unread; what breaks off after it began is not tried again."""
        async with self._closing(await self._patiently(lambda: self._open(call))) as response:
            yield response

    @asynccontextmanager
    async def _closing(self, response: httpx.Response) -> AsyncIterator[httpx.Response]:
        try:
            with in_our_words(self.url):
                yield response
        finally:
            await response.aclose()

    async def _patiently(self, act: Callable[[], Awaitable[T]], *, repeatable: bool = True) -> T:
        for attempt in count(1):
            try:
                return await act()
            except TryLater as error:
                pause_s = self._retries.pause_s(error, attempt, luck()) if repeatable else None
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError  # count has no end

    async def _open(self, call: Call[Any]) -> httpx.Response:
        """A response that is no error (Any: whatever its answer becomes)."""
        with in_our_words(self.url):
            response = await self._http.send(self._request(call), stream=True)
        if response.is_success:
            return response
        async with self._closing(response):
            await response.aread()
            raise error_of(answer_of(response))

    def _request(self, call: Call[Any]) -> httpx.Request:
        content = pieces_of(call.body) if call.body else None
        return self._http.build_request(
            call.method, call.path, params=list(call.params), headers=head(call), content=content
        )

    async def _events(self, job_id: str, heard: str) -> AsyncIterator[Event]:
        async with self._streamed(calls.events(job_id, heard)) as response:
            events = Events()
            async for piece in response.aiter_bytes():
                for event in events.feed(piece):
                    yield event

    async def _rows(self, call: Call[None]) -> AsyncIterator[Json]:
        async with self._streamed(call) as response:
            lines = Lines()
            async for piece in response.aiter_bytes():
                for row in rows_of(lines.feed(piece)):
                    yield row
            for row in rows_of(lines.rest()):
                yield row

    async def _write(self, call: Call[None], path: Path) -> int:
        size_bytes = 0
        async with self._closing(await self._open(call)) as response:
            with whole(path) as file:
                async for piece in response.aiter_bytes():
                    size_bytes += await asyncio.to_thread(file.write, piece)
        return size_bytes


async def pieces_of(body: Body) -> AsyncIterator[bytes]:
    """A body's pieces, each made in a thread: files block, and rows and tables are work."""
    pieces = body.pieces()
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
