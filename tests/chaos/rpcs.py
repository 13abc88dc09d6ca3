"""The load of gRPC calls: a channel for each gateway, with one call at a time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from tests.chaos.questions import Form, Question, several
from tests.chaos.terrain import Pool

AVAILABLE = find_spec("grpc") is not None
"""Whether the packages of `takt-server[grpc]` are installed."""
PAUSES_S = (0.01, 0.1)
REFUSED_PAUSE_S = 0.2
_RECONNECTS = [(f"grpc.{which}_reconnect_backoff_ms", 200) for which in ("initial", "min", "max")]
"""Else a channel refuses calls for seconds after its gateway is back."""
_MEANT = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}
"""Statuses of a gateway that is unavailable or stops, and of a broken connection."""

Right = Callable[[Question], None]
Wrong = Callable[[], None]
Failed = Callable[[float, str, bool], None]


class RpcLoop:
    """Calls one gateway until it is stopped.

    `right`, `wrong` and `failed` are called with each outcome; `failed` with the call's beginning (monotonic
    seconds), the reason, and whether a fault may cause it.
    """

    def __init__(self, address: str, pool: Pool, luck: random.Random, limit_s: float) -> None:
        self._address = address
        self._pool = pool
        self._luck = luck
        self._limit_s = limit_s

    async def run(self, stopping: Callable[[], bool], right: Right, wrong: Wrong, failed: Failed) -> None:
        import grpc

        from api.rpc import inference_pb2 as messages

        async with grpc.aio.insecure_channel(self._address, options=_RECONNECTS) as channel:
            infer = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=messages.ModelInferRequest.SerializeToString,
                response_deserializer=messages.ModelInferResponse.FromString,
            )
            while not stopping():
                await asyncio.sleep(self._luck.uniform(*PAUSES_S))
                asked = Question(self._pool, several(self._pool, self._luck), Form.GRPC)
                begun_s = time.monotonic()
                try:
                    answer: Any = await infer(asked.message(messages), timeout=self._limit_s)
                except grpc.aio.AioRpcError as error:
                    name = error.code().name
                    failed(begun_s, f"gRPC {name}: {error.details()}", name in _MEANT)
                    await asyncio.sleep(REFUSED_PAUSE_S)
                    continue
                if asked.is_packed(answer.raw_output_contents[0]):
                    right(asked)
                else:
                    wrong()
