"""The calls of `inference.GRPCInferenceService`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from starlette.types import Scope

from api.access.permissions import RPC_SERVICE
from api.access.principal import Principal, caller_of
from api.gateway import Gateway
from api.http.request_bodies import ClientLeftError
from api.inference_protocol.infer_outputs import OutputSelection
from api.inference_protocol.infer_parameters import check_parameters, timeout_s
from api.inference_protocol.metadata import config_of, metadata_of
from api.inference_protocol.statistics import statistics_of
from api.models.catalog import Servable
from api.online.prediction import Prediction
from api.routes.inference_protocol.repository_index import index_of
from api.routes.inference_protocol.repository_models import FOLLOW_LIMIT_S, load, unload, version_of
from api.routes.inference_protocol.server import EXTENSIONS
from api.routes.prediction_steps import TraceStages
from api.rpc import inference_pb2 as pb
from api.rpc.grpc_calls import Answer, Calls, Context, remaining_s
from api.rpc.grpc_gathering import Gathering
from api.rpc.grpc_messages import (
    config_response,
    is_raw,
    metadata_response,
    parameters_of,
    requested_of,
    response_of,
    statistics_response,
    tensors_of,
)
from shared import VERSION
from shared.errors import ServiceError
from shared.messages import AnswerColumn

ANSWER_S = 0.5
"""Kept of a client's deadline for the answer."""


def _nobody_left() -> bool:
    """A cancelled call cancels its handler, so that nothing needs to ask."""
    return False


class InferenceService:
    """Answers the calls of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._calls = Calls(gateway)
        self._online = self._calls.online
        self._gathering = Gathering()

    def handlers(self) -> grpc.GenericRpcHandler:
        """The handlers of all calls, for a server."""
        answers: Mapping[str, Answer] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "ModelInfer": self.infer,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        methods = {name: self._unary(name, answer) for name, answer in answers.items()}
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self._calls.stream("ModelStreamInfer", pb.ModelInferRequest, self._stream_infer, _stream_error),
            response_serializer=pb.ModelStreamInferResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(RPC_SERVICE, methods)

    def _unary(self, name: str, answer: Answer) -> grpc.RpcMethodHandler[Any, Any]:
        return grpc.unary_unary_rpc_method_handler(
            self._calls.unary(name, getattr(pb, f"{name}Request"), answer),
            response_serializer=getattr(pb, f"{name}Response").SerializeToString,
        )

    # -- the server and its models --------------------------------------------------------------------------

    async def _server_live(self, *_: object) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, *_: object) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._gateway.ready())

    async def _server_metadata(self, *_: object) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name="takt", version=VERSION, extensions=EXTENSIONS)

    async def _model_ready(
        self, request: pb.ModelReadyRequest, scope: Scope, _: Context
    ) -> pb.ModelReadyResponse:
        servable = self._find(request.name, request.version, scope)
        return pb.ModelReadyResponse(ready=self._gateway.serves(servable.key))

    async def _model_metadata(
        self, request: pb.ModelMetadataRequest, scope: Scope, _: Context
    ) -> pb.ModelMetadataResponse:
        spec = self._find(request.name, request.version, scope).spec
        return metadata_response(metadata_of(spec, self._gateway.catalog.versions(spec.name)))

    async def _model_config(
        self, request: pb.ModelConfigRequest, scope: Scope, _: Context
    ) -> pb.ModelConfigResponse:
        return config_response(config_of(self._find(request.name, request.version, scope).spec))

    async def _model_statistics(
        self, request: pb.ModelStatisticsRequest, scope: Scope, _: Context
    ) -> pb.ModelStatisticsResponse:
        caller, catalog = caller_of(scope), self._gateway.catalog
        if not request.name:
            return statistics_response(statistics_of(each) for each in catalog if caller.sees(each.spec.name))
        servable = self._find(request.name, request.version, scope)
        wanted = (
            [servable] if request.version else [each for each in catalog if each.spec.name == request.name]
        )
        return statistics_response(map(statistics_of, wanted))

    async def _index(
        self, request: pb.RepositoryIndexRequest, scope: Scope, _: Context
    ) -> pb.RepositoryIndexResponse:
        caller = caller_of(scope)
        listed = [
            index_of(self._gateway, each) for each in self._gateway.catalog if caller.sees(each.spec.name)
        ]
        return pb.RepositoryIndexResponse(
            models=[
                pb.RepositoryIndexResponse.ModelIndex(**each.model_dump())
                for each in listed
                if each.state == "READY" or not request.ready
            ]
        )

    async def _load(
        self, request: pb.RepositoryModelLoadRequest, scope: Scope, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        await load(self._gateway, *_asked(request, scope), _follow_s(context))
        return pb.RepositoryModelLoadResponse()

    async def _unload(
        self, request: pb.RepositoryModelUnloadRequest, scope: Scope, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        await unload(self._gateway, *_asked(request, scope), _follow_s(context))
        return pb.RepositoryModelUnloadResponse()

    def _find(self, model: str, version: str, scope: Scope) -> Servable:
        return self._gateway.catalog.find(model, version or None, caller_of(scope))

    # -- inference ------------------------------------------------------------------------------------------

    async def infer(
        self, request: pb.ModelInferRequest, scope: Scope, context: Context
    ) -> pb.ModelInferResponse:
        """Predict. Raises the errors of a prediction."""
        servable = self._online.servable(request.model_name, request.model_version or None, scope)
        wait_s = min(self._gateway.online.admission.wait_s(None), remaining_s(context))
        prediction = Prediction(servable, True, None, wait_s)
        try:
            with self._gathering:
                return await self._predicted(prediction, request, scope, context)
        except asyncio.CancelledError:
            prediction.count_failure(ClientLeftError())
            raise
        except ServiceError as error:
            prediction.count_failure(error)
            raise

    async def _predicted(
        self, prediction: Prediction, request: pb.ModelInferRequest, scope: Scope, context: Context
    ) -> pb.ModelInferResponse:
        servable, stages = prediction.servable, TraceStages(scope)
        if request.parameters:
            self._apply(parameters_of(request.parameters), prediction, context)
        outputs = OutputSelection(servable.spec, requested_of(request), all_binary=is_raw(request))
        prediction.output_dtypes = outputs.dtypes
        reader = self._gateway.tensor_readers.of(servable)
        columns = prediction.read_columns(lambda: reader.read(tensors_of(request)))
        await self._gathering.wait()
        self._online.admit(prediction, prediction.rows, scope)
        answered = await self._online.answered(prediction, columns, scope, _nobody_left)

        def render(columns: Sequence[AnswerColumn]) -> pb.ModelInferResponse:
            tensors = [tensor for tensor, _ in outputs.tensors(columns, prediction.rows)]
            return response_of(servable.spec.name, servable.version, request, tensors)

        _, response = prediction.finish_with(answered, render)
        stages.end(prediction, answered)
        return response

    def _apply(self, parameters: Mapping[str, object], prediction: Prediction, context: Context) -> None:
        check_parameters(parameters)
        asked_s = timeout_s(parameters)
        if asked_s is not None:
            prediction.wait_s = min(self._gateway.online.admission.wait_s(asked_s), remaining_s(context))

    async def _stream_infer(
        self, request: pb.ModelInferRequest, scope: Scope, context: Context
    ) -> pb.ModelStreamInferResponse:
        return pb.ModelStreamInferResponse(infer_response=await self.infer(request, scope, context))


def _stream_error(sentence: str) -> pb.ModelStreamInferResponse:
    return pb.ModelStreamInferResponse(error_message=sentence)


def _asked(
    request: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest, scope: Scope
) -> tuple[str, str | None, Principal]:
    """Model, version and caller of a request to load or unload."""
    return request.model_name, version_of(parameters_of(request.parameters)), caller_of(scope)


def _follow_s(context: Context) -> float:
    """How long to wait for the workers: the answer must come before the client's deadline."""
    return min(FOLLOW_LIMIT_S, max(0.0, remaining_s(context) - ANSWER_S))
