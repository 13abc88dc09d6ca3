"""`python -m bench.studies.fronts.without LAYER …`: the gateway, without these layers of its front.

fast_path      predictions with small bodies skip ASGI and its task (`api/server/fast_path.py`)
whole_answers  head and body of a response leave in a single write (`WholeAnswers`)
shared_timer   a single timer serves all connections (`api/server/timeouts.py`); without it, uvicorn sets a
               timer after each response
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from unittest.mock import patch

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.__main__ import main
from api.server.protocol import LimitedProtocol, WholeAnswers


class _TwoWrites(WholeAnswers):
    """Writes head and body as uvicorn sends them."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        self._transport.write(data)


class _TimerPerResponse(LimitedProtocol):
    def on_response_complete(self) -> None:
        self._answers.flush()
        HttpToolsProtocol.on_response_complete(self)


def _no_fast_request(*_: object) -> None:
    """Each request takes the ASGI path."""


LAYERS: Mapping[str, tuple[str, object]] = {
    "fast_path": ("api.server.protocol.fast_request_of", _no_fast_request),
    "whole_answers": ("api.server.protocol.WholeAnswers", _TwoWrites),
    "shared_timer": ("api.server.protocol.LimitedProtocol", _TimerPerResponse),
}


def serve_without(layers: Sequence[str]) -> int:
    """Serve until SIGTERM. → the exit status. Raises KeyError for an unknown layer."""
    with ExitStack() as held:
        for layer in layers:
            target, replacement = LAYERS[layer]
            held.enter_context(patch(target, replacement))
        return main([])


if __name__ == "__main__":
    sys.exit(serve_without(sys.argv[1:]))
