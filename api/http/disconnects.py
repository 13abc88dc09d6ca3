"""Whether a client has left, without a task per request.

Once a request's body is read, ASGI's `receive` has nothing more to give until the client leaves. One step of
it therefore tells: it finishes at once (`http.disconnect`) or would wait, and is dropped again.
"""

from __future__ import annotations

from starlette.types import Receive


class ClientLeftError(Exception):
    """The client closed its connection before it was answered."""


def has_left(receive: Receive) -> bool:
    """Call it from the event loop, and only after the whole body was received."""
    step = receive().__await__()
    try:
        next(step)
    except StopIteration:
        return True
    step.close()
    return False
