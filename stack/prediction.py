"""The first prediction: a stack serves once a call was answered, and a person sees which call to make."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import httpx

from shared.specs import ModelSpec, Row
from stack.errors import CommandError
from stack.plan import Plan
from takt.client import Takt
from takt.errors import TaktError, TryLater
from takt.retries import NEVER

_CANNOT_BE_LOADED = "cannot load"
"""What a refusal says whose reason does not pass by itself."""
_LIMIT_S = 20.0  # the gateway may see a new worker's heartbeat a second later than the stack does


@dataclass(frozen=True)
class Predicted:
    """A prediction that was made, and how to make it again."""

    model: str
    curl: str
    answer: str
    took_ms: float
    failed: dict[str, str]  # models that were asked before, and why they did not answer


def first_prediction(plan: Plan) -> Predicted:
    """Predict the example of the first model that answers, over HTTP; the default model is asked first.

    Raises Refusal if none answers.
    """
    failed: dict[str, str] = {}
    here = httpx.HTTPTransport()  # on this machine: a proxy that the environment names does not lead there
    with Takt(plan.http_url, retries=NEVER, transport=here) as takt:  # took_ms: of the call that was answered
        for spec, asked in _asked(plan.models):
            try:
                answer, took_ms = _answered(takt, spec.example_row(), asked)
            except TaktError as error:
                failed[spec.name] = error.detail
                continue
            call = curl(plan.http_url, spec.example_row(), model=asked)
            return Predicted(spec.name, call, json.dumps(answer), took_ms, failed)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    raise CommandError(f"everything runs, but no model answered a first prediction: {reasons}")


def _asked(models: Sequence[ModelSpec]) -> Iterator[tuple[ModelSpec, str | None]]:
    """The first as the default model, which it is unless that is wrong; then each model by its name."""
    yield models[0], None
    for spec in models:
        yield spec, spec.name


def _answered(takt: Takt, row: Row, model: str | None) -> tuple[object, float]:
    """The answer and the milliseconds that it took. Raises TaktError."""
    limit_s = time.monotonic() + _LIMIT_S
    while True:
        begun_s = time.monotonic()
        try:
            answer = takt.predict(row, model=model)
        except TryLater as error:
            if time.monotonic() > limit_s or _CANNOT_BE_LOADED in error.detail:
                raise
            time.sleep(0.2)
        else:
            return answer, (time.monotonic() - begun_s) * 1000


def curl(http_url: str, row: Row, *, model: str | None = None, keyed: bool = False) -> str:
    """The command that makes this prediction from a shell, or `keyed` by what is in TAKT_API_KEY."""
    body = json.dumps(
        row, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value)
    )
    key = '-H "Authorization: Bearer $TAKT_API_KEY" ' if keyed else ""
    path = "/predict" if model is None else f"/models/{model}/predict"
    return f"curl -X POST {http_url}{path} {key}-H 'Content-Type: application/json' -d {shlex.quote(body)}"
