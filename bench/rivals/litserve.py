"""LitServe: FastAPI in a single process, the model in another, with batches between them.

A single model process, because on two cores a second process makes batches smaller and throughput lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.rivals import Place, Rival

_APP = Path(__file__).with_name("litserve_app")


def _command(place: Place) -> Sequence[str]:
    return [str(place.python), str(_APP / "server.py"), str(place.port)]


RIVAL = Rival(
    name="litserve",
    about="LitServe, batches of 64 within 2 ms, fast_queue, one model process",
    command=_command,
    requirements=_APP / "requirements.txt",
    distribution="litserve",
)
