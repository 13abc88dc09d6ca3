"""The first prediction of `takt up`: it proves that the stack serves, and shows the user an example call."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import httpx

from shared.specs import ModelSpec, Row
from stack.command_errors import CommandError
from stack.plan import Plan
from takt.client import Takt
from takt.errors import TaktError, TryLater
from takt.retries import NEVER

_CANNOT_BE_LOADED = "cannot load"
"""Text in the detail of a rejection that a retry cannot fix."""
_LIMIT_S = 20.0  # the gateway may see a new worker's heartbeat a second later than the stack does

_LOOK_LIMIT_S = 2.0  # a model that no worker can load never becomes loaded


@dataclass(frozen=True)
class Predicted:
    """A prediction, and the curl command that repeats it."""

    model: str
    curl: str
    answer: str
    took_ms: float
    failed: dict[str, str]  # model → reason, for the models tried before


def first_prediction(plan: Plan) -> Predicted:
    """Predict the example row over HTTP with the first model that answers, starting with the default model;
    then wait until the gateway sees the workers of all models that can be loaded.

    Raises CommandError if no model answers.
    """
    failed: dict[str, str] = {}
    direct = httpx.HTTPTransport()  # ignores the environment's proxies: the gateway is on this machine
    with Takt(plan.http_url, retries=NEVER, transport=direct) as takt:
        for spec, asked in _asked(plan.models):
            try:
                answer, took_ms = _answered(takt, spec.example_row(), asked)
            except TaktError as error:
                failed[spec.name] = error.detail
                continue
            if not plan.settings.models_on_demand:
                _wait_for_all(takt, [one.name for one in plan.models])
            call = curl(plan.http_url, spec.example_row(), model=asked)
            return Predicted(spec.name, call, json.dumps(answer), took_ms, failed)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    raise CommandError(f"all services run, but no model answered the first prediction: {reasons}")


def _wait_for_all(takt: Takt, names: Sequence[str]) -> None:
    """Wait for the gateway's next look at the workers, so that the first call of each model is answered."""
    limit_s = time.monotonic() + _LOOK_LIMIT_S
    while time.monotonic() < limit_s:
        try:
            if all(model.loaded for model in takt.models() if model.name in names):
                return
        except TaktError:  # the prediction has succeeded: this is no reason to end
            return
        time.sleep(0.1)


def _asked(models: Sequence[ModelSpec]) -> Iterator[tuple[ModelSpec, str | None]]:
    """Yields the first model without a name, as the service's default, then each model by name."""
    yield models[0], None
    for spec in models:
        yield spec, spec.name


def _answered(takt: Takt, row: Row, model: str | None) -> tuple[object, float]:
    """Returns the answer and the call's duration in ms. Raises TaktError."""
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
    """Returns the shell command for this prediction; if `keyed`, it sends the key in TAKT_API_KEY."""
    body = json.dumps(
        row, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value)
    )
    key = '-H "Authorization: Bearer $TAKT_API_KEY" ' if keyed else ""
    path = "/predict" if model is None else f"/models/{model}/predict"
    return f"curl -X POST {http_url}{path} {key}-H 'Content-Type: application/json' -d {shlex.quote(body)}"
