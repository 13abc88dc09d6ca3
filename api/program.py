"""A gateway process: it serves until a signal, then finishes the accepted requests."""

from __future__ import annotations

import signal

import structlog
import uvicorn
from fastapi import FastAPI

from api.access.start_check import check_access
from api.app import create_app
from api.http.hosts_and_proxies import HostNames
from api.processes.process_arguments import ProcessArguments
from api.processes.siblings import Siblings
from api.server.parent_orders import sockets_of
from api.server.protocol import protocol_of
from api.server.serving import GatewayServer
from shared.errors import OperatorError
from shared.settings import Settings

log = structlog.get_logger()


def serve(settings: Settings, arguments: ProcessArguments | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code.

    `arguments`: of a process among several, which uses inherited sockets instead of the settings' address.
    """
    # uvicorn raises the signal again after its shutdown; ignore it, so that the exit code is 0
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        app = create_app(settings, siblings=Siblings(arguments) if arguments is not None else None)
        check_access(settings)
        names = settings.host_names()
        app.state.gateway.host_names = HostNames(names) if names is not None else None
        server = GatewayServer(_config(app, settings), app.state.gateway, settings, arguments)
        server.run(sockets_of(arguments, arguments.slot) if arguments is not None else None)
    except OperatorError as error:
        log.error("gateway_cannot_start", reason=error.detail)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _config(app: FastAPI, chosen: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=chosen.host,
        port=chosen.port,
        loop="uvloop",
        http=protocol_of(app.state.gateway),
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `api/http/hosts_and_proxies.py` reads them
        timeout_graceful_shutdown=max(1, round(chosen.shutdown_grace_s - chosen.drain_delay_s)),
    )
