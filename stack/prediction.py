"""The first prediction: a stack serves once a call was answered, and a person sees which call to make."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from datetime import datetime

import httpx

from shared.specs import ModelSpec, Row
from stack.plan import Plan
from stack.refusals import Refusal
from takt.client import Takt
from takt.errors import TaktError, TryLater
from takt.retries import NEVER

_LIMIT_S = 20.0  # the gateway may see a new worker's heartbeat a second later than the stack does


@dataclass(frozen=True)
class Predicted:
    """A prediction that was made, and how to make it again."""

    model: str
    curl: str
    answer: str
    took_ms: float


def first_prediction(plan: Plan) -> Predicted:
    """Predict the default model's example over HTTP. Raises Refusal where the stack does not answer it."""
    spec = plan.models[0]
    row = spec.example_row()
    limit_s = time.monotonic() + _LIMIT_S
    here = httpx.HTTPTransport()  # on this machine: a proxy that the environment names does not lead there
    with Takt(plan.http_url, retries=NEVER, transport=here) as takt:  # took_ms: of the call that was answered
        while True:
            begun_s = time.monotonic()
            try:
                answer = takt.predict(row)
            except TryLater as error:
                if time.monotonic() > limit_s:
                    raise _refusal(spec, error) from error
                time.sleep(0.2)
            except TaktError as error:
                raise _refusal(spec, error) from error
            else:
                took_ms = (time.monotonic() - begun_s) * 1000
                return Predicted(spec.name, curl(plan.http_url, row), json.dumps(answer), took_ms)


def curl(http_url: str, row: Row, *, keyed: bool = False) -> str:
    """The command that makes this prediction from a shell, or `keyed` by what is in TAKT_API_KEY."""
    body = json.dumps(
        row, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value)
    )
    key = '-H "Authorization: Bearer $TAKT_API_KEY" ' if keyed else ""
    return f"curl -X POST {http_url}/predict {key}-H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _refusal(spec: ModelSpec, error: TaktError) -> Refusal:
    return Refusal(f"everything runs, but a first prediction of {spec.name} failed: {error.detail}")
