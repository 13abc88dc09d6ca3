"""The inference protocol over gRPC: answers, statuses, keys, deadlines, cancellation, metrics, health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.access.permissions import RPC_SERVICE, RPCS, Permission
from api.gateway import Gateway
from api.inference_protocol.wire_tensors import pack_texts
from shared.api_keys import Role
from shared.errors import OperatorError
from shared.settings import Settings
from tests.support.access import Holder, holder, keep
from tests.unit.gateway_fakes import (
    CLASSIFIER,
    IRIS,
    IRIS_KEY,
    FakeRedis,
    FakeWorker,
    running_gateway,
    serving,
    until,
)

grpc = pytest.importorskip("grpc")
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # noqa: E402

from api.rpc import inference_pb2 as pb  # noqa: E402
from api.rpc.grpc_server import serving as serving_grpc  # noqa: E402

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])


class Client:
    """A client of the protocol without generated stubs."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def call(self, name: str) -> Any:
        return self.channel.unary_unary(
            f"/{RPC_SERVICE}/{name}",
            request_serializer=getattr(pb, f"{name}Request").SerializeToString,
            response_deserializer=getattr(pb, f"{name}Response").FromString,
        )

    def __getattr__(self, name: str) -> Any:
        def ask(message: Any = None, **options: Any) -> Any:
            return self.call(name)(message or getattr(pb, f"{name}Request")(), **options)

        return ask


@dataclass
class Stage:
    gateway: Gateway
    client: Client
    worker: FakeWorker
    http: Any


@asynccontextmanager
async def staged(redis: FakeRedis, folder: Path, **changes: Any) -> AsyncIterator[Stage]:
    """A gateway with gRPC, and a worker that is not known to it yet."""
    async with running_gateway(redis, folder, host="127.0.0.1", **changes) as (gateway, http):
        await until(lambda: gateway.queue.up)
        async with (
            serving_grpc(gateway, 0) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield Stage(gateway, Client(channel), FakeWorker(redis, IRIS, CLASSIFIER), http)


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(FakeRedis(), tmp_path, default_wait_s=5, shutdown_grace_s=2) as stage:
        yield stage


@pytest.fixture
async def stage(idle: Stage) -> AsyncIterator[Stage]:
    async with serving(idle.worker, idle.gateway):
        yield idle


def raw_iris(rows: np.ndarray[Any, Any] = ROWS, **more: Any) -> Any:
    tensor = pb.ModelInferRequest.InferInputTensor(name="input-0", datatype="FP64", shape=rows.shape)
    return pb.ModelInferRequest(
        model_name="iris", inputs=[tensor], raw_input_contents=[rows.astype("<f8").tobytes()], **more
    )


def typed_iris() -> Any:
    inputs = [
        pb.ModelInferRequest.InferInputTensor(
            name=name,
            datatype="FP64",
            shape=[2, 1],
            contents=pb.InferTensorContents(fp64_contents=ROWS[:, place]),
        )
        for place, name in enumerate(IRIS.input_names)
    ]
    return pb.ModelInferRequest(model_name="iris", model_version="1.0.0", inputs=inputs)


async def failure_of(call: Any) -> tuple[Any, str, dict[str, str]]:
    """Status, sentence and trailing metadata of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as found:
        await call
    error: Any = found.value
    return error.code(), error.details(), dict(error.trailing_metadata())


# -- answers ----------------------------------------------------------------------------------------------


async def test_the_server_and_its_models_are_described_as_over_rest(stage: Stage) -> None:
    client = stage.client
    assert (await client.ServerLive()).live
    assert (await client.ServerReady()).ready
    assert (await client.ServerMetadata()).name == "takt"
    assert (await client.ModelReady(pb.ModelReadyRequest(name="iris", version="1.0.0"))).ready
    metadata = await client.ModelMetadata(pb.ModelMetadataRequest(name="classifier"))
    assert [(each.name, each.datatype, list(each.shape)) for each in metadata.inputs] == [
        ("features", "FP32", [-1, 10])
    ]
    config = (await client.ModelConfig(pb.ModelConfigRequest(name="classifier"))).config
    assert (config.max_batch_size, config.input[0].data_type) == (1000, pb.TYPE_FP32)
    assert config.HasField("dynamic_batching")
    index = await client.RepositoryIndex(pb.RepositoryIndexRequest(ready=True))
    assert {(each.name, each.state) for each in index.models} == {("iris", "READY"), ("classifier", "READY")}


async def test_raw_contents_are_answered_raw(stage: Stage) -> None:
    answer = await stage.client.ModelInfer(raw_iris(id="7"))
    assert (answer.model_name, answer.model_version, answer.id) == ("iris", "1.0.0", "7")
    assert [(each.name, each.datatype, list(each.shape)) for each in answer.outputs] == [
        ("prediction", "BYTES", [2, 1]),
        ("confidence", "FP64", [2, 1]),
    ]
    labels, scores = answer.raw_output_contents
    assert labels == pack_texts(["setosa", "setosa"])
    assert np.frombuffer(scores, "<f8").tolist() == [5.1, 6.7]


async def test_typed_contents_are_answered_typed(stage: Stage) -> None:
    answer = await stage.client.ModelInfer(typed_iris())
    assert not answer.raw_output_contents
    assert list(answer.outputs[0].contents.bytes_contents) == [b"setosa", b"setosa"]
    assert list(answer.outputs[1].contents.fp64_contents) == [5.1, 6.7]


async def test_a_stream_is_answered_in_order_and_goes_on_after_an_error(stage: Stage) -> None:
    call = stage.client.channel.stream_stream(
        f"/{RPC_SERVICE}/ModelStreamInfer",
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelStreamInferResponse.FromString,
    )
    wrong = pb.ModelInferRequest(model_name="nope")
    answers = [each async for each in call(iter([raw_iris(id="1"), wrong, raw_iris(id="2")]))]
    assert [each.infer_response.id for each in answers] == ["1", "", "2"]
    assert "There is no model 'nope'" in answers[1].error_message


async def test_statistics_and_metrics_count_calls(stage: Stage) -> None:
    await stage.client.ModelInfer(raw_iris())
    (found,) = (await stage.client.ModelStatistics(pb.ModelStatisticsRequest(name="iris"))).model_stats
    assert (found.inference_count, found.inference_stats.success.count) == (2, 1)
    text = (await stage.http.get("/metrics")).text
    assert f'method="GRPC",route="/{RPC_SERVICE}/ModelInfer",status="200"' in text


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (pb.ModelInferRequest(model_name="nope"), "NOT_FOUND", "There is no model 'nope'"),
        (pb.ModelInferRequest(model_name="iris"), "INVALID_ARGUMENT", "no inputs"),
        (raw_iris(ROWS + 9), "INVALID_ARGUMENT", "Row 0, input 'sepal_length': Input should be less"),
        (raw_iris(outputs=[{"name": "x"}]), "INVALID_ARGUMENT", "no output 'x'"),
        (raw_iris(parameters={"sequence_id": {"int64_param": 1}}), "INVALID_ARGUMENT", "keep no state"),
        (raw_iris(parameters={"timeout": {"string_param": "x"}}), "INVALID_ARGUMENT", "'timeout'"),
    ],
)
async def test_an_error_is_a_status_with_a_sentence_and_a_code(
    stage: Stage, request_: Any, status: str, reason: str
) -> None:
    code, details, trailing = await failure_of(stage.client.ModelInfer(request_))
    assert code is getattr(grpc.StatusCode, status)
    assert reason in details
    assert trailing["takt-error"] in ("model_not_found", "validation_error")


async def test_raw_and_typed_contents_cannot_be_mixed(stage: Stage) -> None:
    mixed = typed_iris()
    mixed.raw_input_contents.append(b"\0" * 16)
    assert "for all inputs, or for none" in (await failure_of(stage.client.ModelInfer(mixed)))[1]


async def test_loading_names_what_is_wrong(stage: Stage) -> None:
    for asked, status, reason in (
        ({"model_name": "nope"}, "NOT_FOUND", "There is no model 'nope'"),
        (iris_version("7.0.0"), "NOT_FOUND", "no version '7.0.0'"),
        (
            {"model_name": "iris", "parameters": {"config": {"string_param": "{}"}}},
            "INVALID_ARGUMENT",
            "'config' is not supported",
        ),
    ):
        request = pb.RepositoryModelLoadRequest(**asked)
        code, details, _ = await failure_of(stage.client.RepositoryModelLoad(request))
        assert code is getattr(grpc.StatusCode, status)
        assert reason in details


def iris_version(version: str) -> dict[str, Any]:
    return {"model_name": "iris", "parameters": {"version": {"string_param": version}}}


async def test_a_load_that_no_worker_follows_ends_before_the_deadline(idle: Stage) -> None:
    call = idle.client.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="iris"), timeout=2)
    code, details, _ = await failure_of(call)
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "no live worker holds it yet" in details


async def test_without_a_worker_the_call_may_be_retried_later(idle: Stage) -> None:
    code, _, trailing = await failure_of(idle.client.ModelInfer(raw_iris()))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert int(trailing["grpc-retry-pushback-ms"]) >= 1000
    assert trailing["takt-error"] == "model_not_loaded"


# -- deadlines and cancellation ---------------------------------------------------------------------------


async def unanswered(stage: Stage) -> None:
    """Make the worker known, without answering."""
    await stage.worker.beat()
    await stage.gateway.fleet.watch.renew()


@pytest.mark.parametrize("by_deadline", [True, False])
async def test_a_call_that_is_over_takes_its_rows_back(idle: Stage, by_deadline: bool) -> None:
    await unanswered(idle)
    call = idle.client.ModelInfer(raw_iris(), **({"timeout": 0.5} if by_deadline else {}))
    task = asyncio.ensure_future(_ended(call))
    for _ in range(2000):
        if await idle.worker.waiting(IRIS_KEY):
            break
        await asyncio.sleep(0.002)
    if not by_deadline:
        call.cancel()
    code = await task
    expected = grpc.StatusCode.DEADLINE_EXCEEDED if by_deadline else grpc.StatusCode.CANCELLED
    assert code is expected
    await idle.worker.nothing_waits(IRIS_KEY)
    await until(lambda: not len(idle.gateway.online.dispatcher.inflight))
    assert idle.gateway.catalog.find("iris").counters.failed.total() == 1


async def _ended(call: Any) -> Any:
    try:
        await call
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        return await call.code()
    raise AssertionError("the call was answered")


async def test_the_timeout_parameter_is_the_wait(idle: Stage) -> None:
    await unanswered(idle)
    asked = raw_iris(parameters={"timeout": {"int64_param": 150_000}})
    code, _, trailing = await asyncio.wait_for(failure_of(idle.client.ModelInfer(asked)), 4)
    assert (code, trailing["takt-error"]) == (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded")


# -- keys -------------------------------------------------------------------------------------------------


async def test_each_call_needs_a_key_with_its_role(tmp_path: Path) -> None:
    redis = FakeRedis()
    holders = {role: holder(role.value, role.value) for role in Role}
    unauthenticated, denied = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
    await keep(redis, *holders.values())
    async with staged(redis, tmp_path, access="keys") as stage:
        await stage.gateway.access.authenticator.look()
        for name, rule in RPCS.items():
            if name == "ModelStreamInfer":
                continue
            for role in (None, *Role):
                code = await _code(stage.client, name, holders[role] if role is not None else None)
                if rule.open:
                    assert code is grpc.StatusCode.OK
                elif role is None:
                    assert code is unauthenticated, name
                elif rule.role in (None, role) or role is Role.ADMIN or is_read(rule, role):
                    assert code not in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED), (
                        name
                    )
                else:
                    assert code is denied, (name, role)


def is_read(rule: Permission, role: Role) -> bool:
    return rule.role is Role.READ and role in (Role.OPERATE, Role.AUDIT)


async def _code(client: Client, name: str, key: Holder | None) -> Any:
    metadata = [(header.lower(), value) for header, value in key.headers.items()] if key else []
    call = client.call(name)(getattr(pb, f"{name}Request")(), metadata=metadata)
    return await call.code()


# -- health, reflection, TLS ------------------------------------------------------------------------------


async def test_health_follows_readiness(idle: Stage) -> None:
    health = health_pb2_grpc.HealthStub(idle.client.channel)
    request = health_pb2.HealthCheckRequest(service=RPC_SERVICE)
    watched = health.Watch(request)
    assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await watched.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    async with serving(idle.worker, idle.gateway):
        assert (await watched.read()).status == health_pb2.HealthCheckResponse.SERVING
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == request_serving()
    unknown = health.Check(health_pb2.HealthCheckRequest(service="x"))
    assert (await failure_of(unknown))[0] is grpc.StatusCode.NOT_FOUND
    watched.cancel()


def request_serving() -> int:
    serving_status: int = health_pb2.HealthCheckResponse.SERVING
    return serving_status


async def test_reflection_lists_the_services(idle: Stage) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(idle.client.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answers = [answer async for answer in stub.ServerReflectionInfo(asked)]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {RPC_SERVICE, "grpc.health.v1.Health"} <= names


@pytest.mark.parametrize("mutual", [False, True])
async def test_tls_by_settings(tmp_path: Path, mutual: bool) -> None:
    import trustme

    authority = trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("client@takt.example")
    files = {name: tmp_path / f"{name}.pem" for name in ("cert", "key", "ca")}
    server.private_key_pem.write_to_path(str(files["key"]))
    server.cert_chain_pems[0].write_to_path(str(files["cert"]))
    authority.cert_pem.write_to_path(str(files["ca"]))
    changes = {"grpc_cert_file": str(files["cert"]), "grpc_key_file": str(files["key"])}
    if mutual:
        changes["grpc_client_ca_file"] = str(files["ca"])
    own = {
        "private_key": client.private_key_pem.bytes(),
        "certificate_chain": client.cert_chain_pems[0].bytes(),
    }
    async with (
        running_gateway(FakeRedis(), tmp_path, host="localhost", **changes) as (gateway, _),
        serving_grpc(gateway, 0) as port,
    ):
        for known in (own, {}):
            credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), **known)
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
                if known or not mutual:
                    assert (await Client(channel).ServerLive()).live
                else:
                    code, _, _ = await failure_of(Client(channel).ServerLive())
                    assert code is grpc.StatusCode.UNAVAILABLE


async def test_an_address_in_use_is_an_error_for_the_operator(idle: Stage) -> None:
    async with serving_grpc(idle.gateway, 0) as port:
        with pytest.raises(OperatorError, match="port is in use"):
            async with serving_grpc(idle.gateway, port):
                pass


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValueError, match="must be set together"):
        Settings(grpc_cert_file="x")
    with pytest.raises(ValueError, match="requires TAKT_GRPC_CERT_FILE"):
        Settings(grpc_client_ca_file="x")
