"""Like the rival `takt`, but every request needs an API key, and the worker also serves its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.rivals import Place
from bench.rivals.takt import RIVAL as TAKT
from shared.api_keys import new_token

_, _TOKEN = new_token()


def _command(place: Place) -> Sequence[str]:
    data = str(place.folder / "data")
    return [str(place.python), "-m", "bench.rivals.takt_keys_app.start", data, *TAKT.command(place)]


RIVAL = replace(
    TAKT,
    name="takt_keys",
    about="takt up that asks for API keys, metrics on",
    command=_command,
    headers={**TAKT.headers, "Authorization": f"Bearer {_TOKEN}"},
    environment={"TAKT_ACCESS": "keys", "TAKT_WORKER_METRICS_PORT": "0", "BENCH_KEY": _TOKEN},
)
