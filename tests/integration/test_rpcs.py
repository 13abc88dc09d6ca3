"""gRPC on a running stack: random messages, and calls that end before their answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from shared import keys
from shared.keys import model_key
from tests.fuzz.rpcs import fuzz_rpcs
from tests.support.polling import eventually
from tests.support.servers import Server, free_port
from tests.support.stack import Stack, running, wait_until_ready

grpc = pytest.importorskip("grpc")
from api.rpc import inference_pb2 as pb  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

INFER = "/inference.GRPCInferenceService/ModelInfer"
IRIS = model_key("iris", "1.0.0")
CALLS = 40


@pytest.fixture(scope="module")
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def stack(queue: Server, address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(queue.url, tmp_path_factory.mktemp("stack")) as started:
        started.gateway(grpc_port=address.rpartition(":")[2])
        started.worker("w1")
        wait_until_ready(started)
        yield started


def test_random_messages_end_with_a_status_that_names_the_cause(stack: Stack, address: str) -> None:
    found = fuzz_rpcs(address, cases=1500, seed=3)
    assert not found.unexplained, str(found)
    assert found.statuses["OK"] > 100
    assert found.statuses["INVALID_ARGUMENT"] > 100
    assert stack.parts["gateway"].running
    assert "Traceback" not in stack.parts["gateway"].log.read_text(errors="replace")


@pytest.mark.parametrize("by_deadline", [True, False])
def test_calls_that_are_over_leave_nothing_in_the_stream(
    stack: Stack, queue: Server, address: str, by_deadline: bool
) -> None:
    worker = stack.parts["w1"]
    worker.pause()
    try:
        codes = asyncio.run(_ended(address, queue, by_deadline))
        expected = grpc.StatusCode.DEADLINE_EXCEEDED if by_deadline else grpc.StatusCode.CANCELLED
        assert set(codes) == {expected}
        eventually(lambda: _waiting(queue) == 0, limit_s=5)
    finally:
        worker.go_on()
    eventually(lambda: _answers(address), limit_s=30)


def _waiting(queue: Server) -> int:
    with queue.client() as client:
        return int(client.xlen(keys.online(IRIS)))


def _request() -> Any:
    rows = np.array([[5.1, 3.5, 1.4, 0.2]] * 3)
    tensor = pb.ModelInferRequest.InferInputTensor(name="all", datatype="FP64", shape=rows.shape)
    return pb.ModelInferRequest(model_name="iris", inputs=[tensor], raw_input_contents=[rows.tobytes()])


async def _ended(address: str, queue: Server, by_deadline: bool) -> list[Any]:
    """Begin calls, wait until their rows are in the stream, and end the calls. → their statuses"""
    async with grpc.aio.insecure_channel(address) as channel:
        infer = channel.unary_unary(INFER, pb.ModelInferRequest.SerializeToString)
        calls = [infer(_request(), timeout=3 if by_deadline else 60) for _ in range(CALLS)]
        await asyncio.to_thread(eventually, lambda: _waiting(queue) >= CALLS - 1, limit_s=10)
        if not by_deadline:
            for call in calls:
                call.cancel()
        return [await call.code() for call in calls]


def _answers(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        infer = channel.unary_unary(INFER, pb.ModelInferRequest.SerializeToString)
        try:
            infer(_request(), timeout=5)
        except grpc.RpcError:
            return False
    return True
