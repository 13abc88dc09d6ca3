"""How a process ended, as text."""

from __future__ import annotations

import signal


def ending(code: int) -> str:
    """The text for an exit code; negative: the signal that ended the process.

    >>> ending(70), ending(-9)
    ('ended with code 70', 'was killed by SIGKILL')
    """
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
