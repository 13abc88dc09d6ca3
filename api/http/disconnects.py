"""Detection of disconnected clients, without a task per request.

After a request's body is read, ASGI's `receive` waits until the client disconnects. So a single step of it is
enough: either it finishes at once with `http.disconnect`, or it would wait and is discarded.
"""

from __future__ import annotations

from starlette.types import Receive


class ClientLeftError(Exception):
    """The client closed its connection before the response was sent."""


def has_left(receive: Receive) -> bool:
    """Whether the client has disconnected. Call it on the event loop, after the whole body was received."""
    step = receive().__await__()
    try:
        next(step)
    except StopIteration:
        return True
    step.close()
    return False
