"""The `takt` program, also `python -m takt`. Ctrl-C ends it without a traceback, even while it is loaded."""

from __future__ import annotations

import signal
import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a shell."""


def main() -> None:
    """Run the command of the command line."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not ignored, as in the background of a shell
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from takt.cli import main as run

    signal.signal(signal.SIGINT, before)
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
