"""BentoML with adaptive batching in two processes, each with its own model.

Batches are lists on the wire, so a request is a list with a single row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.answers import read_first
from bench.rivals import Place, Rival

_APP = Path(__file__).with_name("bentoml_app")


def _command(place: Place) -> Sequence[str]:
    listen = ("--host", "127.0.0.1", "--port", str(place.port))
    return [str(place.python), "-m", "bentoml", "serve", "service:Model", "--working-dir", str(_APP), *listen]


def _body(request: Mapping[str, object]) -> bytes:
    return json.dumps({"requests": [request]}).encode()


RIVAL = Rival(
    name="bentoml",
    about="BentoML, batches of 64, 2 workers",
    command=_command,
    requirements=_APP / "requirements.txt",
    distribution="bentoml",
    body=_body,
    answer=read_first,
    environment={"BENTOML_DO_NOT_TRACK": "True"},
)
