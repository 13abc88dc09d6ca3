"""`python -m api`: serve the gateway until SIGTERM or SIGINT, then finish the accepted requests."""

from __future__ import annotations

import signal
import sys

import structlog
import uvicorn
from fastapi import FastAPI

from api.access.opening import check_access
from api.app import create_app
from api.server.protocol import protocol_of
from api.server.serving import GatewayServer
from shared.errors import OperatorError
from shared.logs import configure_logging
from shared.setting_names import warn_of_unknown_settings
from shared.settings import Settings, settings

log = structlog.get_logger()


def main() -> int:
    configure_logging(settings())
    warn_of_unknown_settings()
    # uvicorn raises the signal again after its shutdown; ignore it, so that the exit code is 0
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        app = create_app(settings())
        check_access(settings())
        GatewayServer(_config(app, settings()), app.state.gateway, settings()).run()
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
        proxy_headers=bool(chosen.trusted_proxies),  # it costs time in each request
        forwarded_allow_ips=chosen.trusted_proxies,
        timeout_graceful_shutdown=max(1, round(chosen.shutdown_grace_s - chosen.drain_delay_s)),
    )


if __name__ == "__main__":
    sys.exit(main())
