"""The progress bar of a job: bytes during the upload, then rows with rate and remaining time.

It is drawn on standard error if that is a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from takt import records


class Bars:
    """Draws progress bars in a terminal, and nothing elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def sending(self, size_bytes: int | None) -> Callable[[int], None]:
        """Begin an upload bar. Returns the callback for the bytes sent so far."""
        columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        live = self._begin(*columns)
        task = live.add_task("uploading", total=size_bytes)
        return lambda sent: live.update(task, completed=sent)

    def following(self, watched: Iterable[records.Progress]) -> None:
        """Draw the job's progress until it ends."""
        live = self._begin(_RowsColumn(), TimeRemainingColumn())
        task = live.add_task("queued", total=None)
        try:
            for progress in watched:
                live.update(
                    task,
                    completed=progress.rows_done,
                    total=progress.rows_total,
                    description=_words(progress),
                )
        finally:
            self._end()  # later output goes below the bar

    def _begin(self, *columns: ProgressColumn) -> Progress:
        self._end()
        shown = self._console.is_terminal and sys.stderr.isatty()
        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *columns,
            console=self._console,
            disable=not shown,
        )
        self._live.start()
        return self._live

    def _end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _words(progress: records.Progress) -> str:
    failed = f", {progress.rows_failed:,} failed" if progress.rows_failed else ""
    waiting = progress.waiting if isinstance(progress, records.Job) else None
    return f"{progress.state}{failed}{f': {waiting.detail}' if waiting else ''}"


class _RowsColumn(ProgressColumn):
    """`9,998/20,000 rows  8,000 rows/s`"""

    def render(self, task: Task) -> Text:
        total = f"{task.total:,.0f}" if task.total is not None else "?"
        speed = task.finished_speed or task.speed
        rate = f"  {speed:,.0f} rows/s" if speed else ""
        return Text(f"{task.completed:,.0f}/{total} rows{rate}", style="progress.download")
