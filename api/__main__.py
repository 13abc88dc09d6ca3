"""`python -m api`: serve the gateway until SIGTERM or SIGINT, then answer what was taken."""

from __future__ import annotations

import gc
import signal
import socket
import sys
from types import FrameType

import structlog
import uvicorn

from api.main import create_app
from shared.errors import OperatorError
from shared.logs import configure_logging
from shared.settings import Settings, settings

log = structlog.get_logger()


class Server(uvicorn.Server):
    """Turns not-ready the moment it is told to stop."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # modules and validators stay: going through all of them again held up requests

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.gateway.drain()  # type: ignore[union-attr]  # our own application
        super().handle_exit(sig, frame)


def main() -> int:
    configure_logging(settings())
    # uvicorn raises the signal again once it has shut down: this ending is a good one
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        Server(_config(settings())).run()
    except OperatorError as error:
        log.error("gateway_cannot_start", reason=error.detail)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _config(chosen: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(chosen),
        host=chosen.host,
        port=chosen.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(chosen.shutdown_grace_s),
    )


if __name__ == "__main__":
    sys.exit(main())
