"""The gRPC server of a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import structlog
from grpc_reflection.v1alpha import reflection

from api.access.permissions import RPC_SERVICE
from api.gateway import Gateway
from api.rpc.grpc_health import SERVICE as HEALTH
from api.rpc.grpc_health import Health
from api.rpc.grpc_service import InferenceService
from shared.errors import OperatorError
from shared.settings import Settings

log = structlog.get_logger()


@asynccontextmanager
async def serving(gateway: Gateway, port: int) -> AsyncIterator[int]:
    """Serve gRPC while the block runs, then answer the calls in progress. → the port

    Raises OperatorError if the address is taken, or a file of TLS cannot be read.
    """
    settings = gateway.settings
    server = grpc.aio.server(options=_options(settings))
    server.add_generic_rpc_handlers((InferenceService(gateway).handlers(), Health(gateway).handlers()))
    reflection.enable_server_reflection((RPC_SERVICE, HEALTH, reflection.SERVICE_NAME), server)
    address = f"{_bracketed(settings.host)}:{port}"
    try:
        if settings.grpc_cert_file:
            bound = server.add_secure_port(address, await asyncio.to_thread(_credentials, settings))
        else:
            bound = server.add_insecure_port(address)
    except RuntimeError:
        raise OperatorError(
            f"gRPC cannot listen on {address}: the port is in use, or not permitted."
        ) from None
    await server.start()
    log.info("grpc_started", port=bound, tls=bool(settings.grpc_cert_file))
    try:
        yield bound
    finally:
        await server.stop(max(0.0, settings.shutdown_grace_s - settings.drain_delay_s))


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", int((settings.gateways or 1) > 1)),  # several processes share the port
    ]


def _bracketed(host: str) -> str:
    return f"[{host.strip('[]')}]" if ":" in host else host


def _credentials(settings: Settings) -> grpc.ServerCredentials:
    """TLS with the certificate of the settings; with client certificates if their CA is set."""
    clients = _read(settings.grpc_client_ca_file) if settings.grpc_client_ca_file else None
    pair = (_read(settings.grpc_key_file), _read(settings.grpc_cert_file))
    return grpc.ssl_server_credentials(
        [pair], root_certificates=clients, require_client_auth=clients is not None
    )


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise OperatorError(f"{path}: cannot be read: {error.strerror}") from error
