"""`grpc.health.v1.Health`, for load balancers: the gateway's readiness, as `/health/ready`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb

from api.access.permissions import RPC_SERVICE
from api.gateway import Gateway

SERVICE = "grpc.health.v1.Health"
LOOK_EVERY_S = 0.2
_KNOWN = ("", RPC_SERVICE)


class Health:
    """Health checks of a gateway. They need no key."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def handlers(self) -> grpc.GenericRpcHandler:
        formats: dict[str, Any] = {
            "request_deserializer": pb.HealthCheckRequest.FromString,
            "response_serializer": pb.HealthCheckResponse.SerializeToString,
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self.check, **formats),
                "Watch": grpc.unary_stream_rpc_method_handler(self.watch, **formats),
            },
        )

    async def check(
        self, request: pb.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.HealthCheckResponse:
        if request.service not in _KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"There is no service {request.service!r}.")
        return self._answer(request.service)

    async def watch(
        self, request: pb.HealthCheckRequest, _: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.HealthCheckResponse]:
        """The status, and each change of it, until the client leaves."""
        last = None
        while True:
            answer = self._answer(request.service)
            if answer.status != last:
                last = answer.status
                yield answer
            await asyncio.sleep(LOOK_EVERY_S)

    def _answer(self, service: str) -> pb.HealthCheckResponse:
        statuses = pb.HealthCheckResponse
        if service not in _KNOWN:
            return statuses(status=statuses.SERVICE_UNKNOWN)
        return statuses(status=statuses.SERVING if self._gateway.ready() else statuses.NOT_SERVING)
