"""Exports a worker's metrics over HTTP on its own port, with prometheus_client's threaded server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import start_http_server

from shared.metrics.exposition import Reading, registry_of
from shared.settings import Settings

log = structlog.get_logger(__name__)


class Exporter:
    """Disabled unless TAKT_WORKER_METRICS_PORT is set. A port in use is logged and tried again: a worker that
    this one follows may still have it."""

    def __init__(self, settings: Settings, read: Callable[[], Iterable[Reading]], *, number: int = 0) -> None:
        """`number`: of the worker among its siblings, added to the port."""
        self._host = settings.worker_metrics_host
        first = settings.worker_metrics_port
        self._port = first + number if first else first
        self._read = read
        self._is_refused = False
        self._server: WSGIServer | None = None

    @property
    def address(self) -> str:
        """`host:port` as other hosts reach it; empty if metrics are not exported."""
        return "" if self._server is None else _address(self._host, self._server.server_port)

    def start(self) -> None:
        """Export, or try again if the port was in use."""
        if self._port is None or self._server is not None:
            return
        try:
            self._server, _ = start_http_server(self._port, self._host, registry_of(self._read))
        except OSError as error:
            if not self._is_refused:
                log.error("metrics_not_exported", host=self._host, port=self._port, reason=str(error))
            self._is_refused = True
        else:
            log.info("metrics_exported", address=self.address)

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _address(host: str, port: int) -> str:
    if _is_any(host):
        return f"{socket.gethostname()}:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_any(host: str) -> bool:
    """Whether it stands for all addresses of this machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
