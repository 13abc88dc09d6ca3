"""mosec: an HTTP server in Rust that forms batches, and a Python process with the model.

A single process, because on two cores a second process makes batches smaller and throughput lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.rivals import Place, Rival

_APP = Path(__file__).with_name("mosec_app")


def _command(place: Place) -> Sequence[str]:
    return [str(place.python), str(_APP / "server.py"), "--address", "127.0.0.1", "--port", str(place.port)]


RIVAL = Rival(
    name="mosec",
    about="mosec, batches of 64 within 1 ms, one model process",
    command=_command,
    requirements=_APP / "requirements.txt",
    distribution="mosec",
)
