"""`Takt`: the client of a Takt service.

with Takt("http://127.0.0.1:8000") as takt:
    takt.predict({"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2})
    job = takt.submit("flowers.csv", model="iris")
    takt.wait(job.id)
    for row in takt.results(job.id):
        print(row)
"""

# Generated from asynchronous.py by `make sync-client`: edit that file.
# ruff: noqa: A002 - `format` is the service's parameter name
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, TypeVar, Unpack

from takt import calls
from takt.bodies import InputRow, Rows
from takt.calls import Call, JobFilter, JobOptions, JobOptionsArguments
from takt.errors import NotTakt, Refused, TryLater, ended_well, is_about_events
from takt.formats import Format, file_format
from takt.model_calls import ModelCalls
from takt.records import Health, Job, JobPage, Json, Progress, Report
from takt.streams import Event, Events, Lines, rows_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

T = TypeVar("T")


class Takt(ModelCalls):
    """A client of a Takt service, for use in a single event loop. Close it, or use it as a context manager.

    `api_key` is sent with every call; its default is the environment variable TAKT_API_KEY. Every method
    raises the errors of `takt.errors`. Calls that may succeed later are retried according to `retries`.
    """

    def predict(self, row: InputRow, *, model: str | None = None, version: str | None = None) -> Json:
        """Predict a row. Without `model`, the service's default model answers.

        answer = takt.predict([5.1, 3.5, 1.4, 0.2], model="iris")
        answer = takt.predict(Path("photo.jpg").read_bytes(), model="inspection")
        """
        return self._do(calls.predict(row, model, version))

    def predict_batch(
        self,
        rows: Sequence[InputRow] | pd.DataFrame,
        *,
        model: str | None = None,
        version: str | None = None,
    ) -> list[Json]:
        """Predict several rows, or a DataFrame, in a single request. Returns the answers in the order of the
        rows.

        answers = takt.predict_batch([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], model="iris")
        """
        return self._do(calls.predict_batch(rows, model, version))

    def submit(
        self,
        rows: Rows,
        *,
        model: str,
        format: Format | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], None] | None = None,
        **options: Unpack[JobOptionsArguments],
    ) -> Job:
        """Submit rows as a job; returns when they are uploaded. `on_sent` receives the bytes sent so far.

        job = takt.submit("flowers.csv", model="iris", id_column="flower", tags=["line-2"])

        Raises ValueError if the format of the rows is unknown, OSError if their file cannot be read.
        """
        call = calls.submit(rows, JobOptions(model, **options), format, idempotency_key)
        return self._do(calls.reporting(call, on_sent) if on_sent else call)

    def check(
        self,
        rows: Rows,
        *,
        model: str,
        format: Format | None = None,
        **options: Unpack[JobOptionsArguments],
    ) -> Report:
        """Validate rows for a model without running them or creating a job.

        report = takt.check("flowers.csv", model="iris")
        """
        return self._do(calls.check(rows, JobOptions(model, **options), format))

    def job(self, job_id: str) -> Job:
        """Return a job with its progress: `takt.job(job.id).state`."""
        return self._do(calls.job(job_id))

    def jobs(self, **filters: Unpack[JobFilter]) -> Iterator[Job]:
        """Iterate over all jobs that match, newest first. Pages are fetched on demand.

        for job in takt.jobs(state="failed", model="iris"):
            print(job.id)
        """
        cursor: str | None = None
        while True:
            page = self.page(cursor=cursor, **filters)
            yield from page.jobs
            cursor = page.next
            if cursor is None:
                return

    def page(
        self, *, limit: int | None = None, cursor: str | None = None, **filters: Unpack[JobFilter]
    ) -> JobPage:
        """Return a page of the jobs that match: `takt.page(limit=20, tag="line-2")`."""
        return self._do(calls.jobs(filters, limit=limit, cursor=cursor))

    def watch(self, job_id: str) -> Iterator[Progress]:
        """Iterate over a job's progress until it ends: by server-sent events, or else by polling.

        for progress in takt.watch(job.id):
            print(progress.rows_done, progress.rows_total)
        """
        last_id, streaming = "", True
        while True:
            try:
                if streaming:
                    for event in self._events(job_id, last_id):
                        last_id = event.id
                        yield event.progress
                        if event.progress.ended:
                            return
            except (Refused, NotTakt) as error:
                streaming = not is_about_events(error)
            except TryLater:
                pass  # the stream broke off: the poll shows whether the service answers
            polled = self._do(calls.poll(job_id))
            yield polled.job
            if polled.job.ended:
                return
            time.sleep(polled.pause_s)

    def wait(self, job_id: str) -> Job:
        """Wait until a job has succeeded, and return it: `takt.wait(job.id)`.

        Raises JobFailed, or JobCanceled, if it ends otherwise.
        """
        for _ in self.watch(job_id):
            pass
        return ended_well(self.job(job_id))

    def results(self, job_id: str, *, partial: bool = False) -> Iterator[Json]:
        """Iterate over a job's results in the order of its rows. `partial`: the results so far.

        for row in takt.results(job.id):
            print(row["prediction"])
        """
        return self._rows(calls.results(job_id, Format.NDJSON, partial=partial))

    def errors(self, job_id: str) -> Iterator[Json]:
        """Iterate over a job's failed rows with their errors.

        for row in takt.errors(job.id):
            print(row["row"], row["error"])
        """
        return self._rows(calls.errors(job_id, Format.NDJSON))

    def results_table(self, job_id: str, *, partial: bool = False) -> pa.Table:
        """Return the results as an Arrow table: `takt.results_table(job.id)`. Requires pyarrow."""
        from takt.decoding import table_of

        with TemporaryDirectory(prefix="takt-") as folder:
            path = Path(folder) / "results.arrow"
            self.download(job_id, path, partial=partial)
            return table_of(path)

    def results_frame(self, job_id: str, *, partial: bool = False) -> pd.DataFrame:
        """Return the results as a DataFrame: `takt.results_frame(job.id)`. Requires pandas, pyarrow."""
        from takt.decoding import frame_of

        return frame_of(self.results_table(job_id, partial=partial))

    def download(
        self,
        job_id: str,
        path: str | Path,
        *,
        format: Format | None = None,
        partial: bool = False,
    ) -> int:
        """Write the results to a file in the format of its extension. Returns the file's size in bytes.

        takt.download(job.id, "out.parquet")

        The file is complete or absent. Raises ValueError if the extension names no format, OSError.
        """
        call = calls.results(job_id, file_format(path, format), partial=partial)
        return self._retried(lambda: self._write(call, Path(path)))

    def stream(
        self,
        job_id: str,
        format: Format,
        *,
        partial: bool = False,
        only_errors: bool = False,
    ) -> Iterator[bytes]:
        """Iterate over the bytes of the results, or of the failed rows.

        for piece in takt.stream(job.id, Format.CSV):
            file.write(piece)
        """
        call = calls.errors(job_id, format) if only_errors else calls.results(job_id, format, partial=partial)
        with self._streamed(call) as response:
            yield from response.iter_bytes()

    def replay(self, job_id: str, version: str, *, idempotency_key: str | None = None) -> Job:
        """Run the rows of a job on another version: `takt.replay(job.id, "1.1.0")`. Returns the new
        job."""
        return self._do(calls.replay(job_id, version, idempotency_key))

    def retry(
        self,
        job_id: str,
        *,
        rows: Literal["failed", "all"] = "failed",
        version: str | None = None,
        priority: int | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Run the rows of an ended job without a result, or all rows, again: `takt.retry(job.id)`.

        `version`: of the model, by default that of the job. Returns the new job.
        """
        return self._do(calls.retry(job_id, rows, version, priority, idempotency_key))

    def difference(self, job_id: str, against: str, *, tolerance: float = 0.0) -> Json:
        """Compare the results of two jobs with the same rows.

        report = takt.difference(job.id, replayed.id)
        print(report["different"], report["disagreement"])
        """
        return self._do(calls.difference(job_id, against, tolerance))

    def download_difference(
        self,
        job_id: str,
        against: str,
        path: str | Path,
        *,
        format: Format | None = None,
        tolerance: float = 0.0,
    ) -> int:
        """Write the differing rows of two jobs to a file in the format of its extension. Returns its size.

        takt.download_difference(job.id, replayed.id, "diff.parquet")
        """
        call = calls.differing_rows(job_id, against, file_format(path, format), tolerance)
        return self._retried(lambda: self._write(call, Path(path)))

    def stream_difference(
        self, job_id: str, against: str, format: Format, *, tolerance: float = 0.0
    ) -> Iterator[bytes]:
        """Iterate over the bytes of the differing rows of two jobs.

        for piece in takt.stream_difference(job.id, replayed.id, Format.CSV):
            file.write(piece)
        """
        with self._streamed(calls.differing_rows(job_id, against, format, tolerance)) as response:
            yield from response.iter_bytes()

    def manifest(self, job_id: str) -> Json:
        """Return counts, digests and versions of a job: `takt.manifest(job.id)`."""
        return self._do(calls.manifest(job_id))

    def timeline(self, job_id: str) -> Json:
        """Return the events of a job, the oldest first: `takt.timeline(job.id)`."""
        return self._do(calls.timeline(job_id))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job; finished results stay readable: `takt.cancel(job.id)`."""
        return self._do(calls.act(job_id, "cancel"))

    def pause(self, job_id: str) -> Job:
        """Start no more rows of a job until `resume`: `takt.pause(job.id)`."""
        return self._do(calls.act(job_id, "pause"))

    def resume(self, job_id: str) -> Job:
        """Resume a paused job: `takt.resume(job.id)`."""
        return self._do(calls.act(job_id, "resume"))

    def prioritize(self, job_id: str, priority: int) -> Job:
        """Change a job's priority, a weight from 0 to 9: `takt.prioritize(job.id, 9)`."""
        return self._do(calls.prioritize(job_id, priority))

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with its data: `takt.delete(job.id)`."""
        self._do(calls.delete(job_id))

    def health(self) -> Health:
        """Return the service's health: `takt.health().status`."""
        return self._do(calls.health)

    def _events(self, job_id: str, last_id: str) -> Iterator[Event]:
        with self._streamed(calls.events(job_id, last_id)) as response:
            events = Events()
            for piece in response.iter_bytes():
                yield from events.feed(piece)

    def _rows(self, call: Call[None]) -> Iterator[Json]:
        with self._streamed(call) as response:
            lines = Lines()
            for piece in response.iter_bytes():
                for row in rows_of(lines.feed(piece)):
                    yield row
            for row in rows_of(lines.rest()):
                yield row
