"""A prediction between its head and its response, the same for every transport.

    body ─ read ─▶ values ─ encode ─▶ columns ─▶ OnlineDispatcher ─▶ Answered ─ finish ─▶ headers, body

Two transports use it: the ASGI path (`api/routes/predict.py`) and the fast path (`api/server/fast_path.py`).
They authenticate, apply admission, and move bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from api.http.error_answers import Headers
from api.http.request_bodies import ClientLeftError
from api.models.catalog import Servable
from api.online.image_bodies import row_of
from api.online.inflight import Answered
from api.online.stage_clock import StageClock
from shared.errors import InvalidInputError, ServiceError
from shared.messages import Column
from shared.output_columns import OutputDtypes
from shared.tabular.json_bodies import refuse_other
from shared.validation import Values

ROUTING_KEY = b"takt-routing-key"
"""Requests with the same value are served by the same version while a split does not change."""
_NOT_STARTED = StageClock()
T = TypeVar("T")


class Prediction(Struct, eq=False):  # made for each request, faster than a plain class
    """A prediction of a model version: a single row, or a batch of rows."""

    servable: Servable
    batch: bool
    asked_s: int | None
    """The seconds that the client asks to wait; None: the default."""
    wait_s: float
    """The seconds that it waits at most."""
    rows: int = 0
    """Set by `read`."""
    clock: StageClock = _NOT_STARTED
    """Started by `read`."""
    output_dtypes: OutputDtypes = ()
    """The binary form in which its outputs are needed; empty: plain values."""

    def read(self, body: bytes) -> Values:
        """Parse and validate the body. Raises InvalidInputError."""
        self.clock = clock = StageClock()
        validator = self.servable.validator
        try:
            values = validator.read_batch(body) if self.batch else validator.read_one(body)
        except InvalidInputError:
            refuse_other(body)
            raise
        self.rows = len(values[0])
        clock.mark("validate")
        return values

    def read_files(self, content_type: bytes, body: bytes) -> Values:
        """Parse and validate an image or a form. Raises InvalidInputError, UnsupportedMediaTypeError."""
        self.clock = clock = StageClock()
        servable = self.servable
        values = servable.validator.read_parts(row_of(servable.spec, content_type, body))
        self.rows = 1
        clock.mark("validate")
        return values

    def encode(self, values: Values) -> list[Column]:
        """Encode the values as the model's input columns."""
        columns = self.servable.encode(values)
        self.clock.mark("encode")
        return columns

    def read_columns(self, read: Callable[[], tuple[list[Column], int]]) -> list[Column]:
        """Parse and encode the body of another protocol. `read`: → the model's columns, and their rows"""
        self.clock = clock = StageClock()
        columns, self.rows = read()
        clock.mark("validate")
        clock.mark("encode")
        return columns

    def finish(self, answered: Answered) -> tuple[Headers, bytes]:
        """Render the response and record the stage times. → its headers and body"""
        renderer = self.servable.renderer
        return self.finish_with(answered, renderer.batch if self.batch else renderer.one)

    def finish_with(self, answered: Answered, render: Callable[[Sequence[Any]], T]) -> tuple[Headers, T]:
        """`finish` for any form of response. `render` gets plain columns unless `output_dtypes` is set."""
        servable, clock = self.servable, self.clock
        clock.mark_answered(answered)
        body = render(answered.columns)
        clock.mark("serialize")
        servable.times.add(clock.times_ms, self.rows, answered.batch_rows, clock.last_s)
        return self._headers(answered.batch_rows), body

    def _headers(self, batch_rows: int) -> Headers:
        """Model version, stage times, and the applied `wait` preference."""
        headers = [
            (b"x-model-version", self.servable.version.encode()),
            (b"server-timing", self.clock.header(batch_rows)),
        ]
        if self.asked_s is not None:
            headers.append((b"preference-applied", b"wait=%d" % self.wait_s))
        return headers

    def count_failure(self, error: Exception) -> None:
        """Count an outcome other than success; an unexpected error is not counted."""
        if isinstance(error, ClientLeftError):
            self.servable.counters.failed["client_left"] += 1
        elif isinstance(error, ServiceError):
            self.servable.counters.failed[error.code] += 1
