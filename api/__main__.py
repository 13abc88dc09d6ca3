"""`python -m api`: serve until SIGTERM or SIGINT, then finish the accepted requests.

With `TAKT_GATEWAYS` above 1, this process is the parent of so many gateway processes. Only a process that
serves imports the application.
"""

from __future__ import annotations

import signal
import sys

import structlog

from shared.errors import OperatorError
from shared.logs import configure_logging
from shared.setting_names import warn_of_unknown_settings
from shared.settings import settings


def main(arguments: list[str]) -> int:
    configure_logging(settings())
    if arguments:
        return _serve_slot(arguments[0])
    warn_of_unknown_settings()
    if (processes := settings().gateways or 1) > 1:
        return _run_parent(processes)
    from api.program import serve

    return serve(settings())


def _run_parent(processes: int) -> int:
    from api.processes.parent_process import run_parent

    try:
        return run_parent(settings(), processes)
    except OperatorError as error:
        structlog.get_logger().error("gateway_cannot_start", reason=error.detail)
        return 1


def _serve_slot(argument: str) -> int:
    from api.processes.process_arguments import read_arguments
    from api.program import serve

    # a terminal sends them to the whole process group; the parent decides
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGHUP])
    arguments = read_arguments(argument)
    return serve(arguments.settings_of(settings()), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
