"""Inference over REST.

POST /v2/models/{model}[/versions/{version}]/infer
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from starlette.types import Receive, Scope, Send

from api.gateway import Gateway
from api.http.compression import coding_for, compressed
from api.http.envelope import respond
from api.http.error_answers import Headers
from api.http.headers import field_of
from api.http.request_bodies import has_left, is_json, offloaded
from api.inference_protocol.infer_bodies import JSON_LENGTH, InferenceRequest, read_body, written_body
from api.inference_protocol.infer_inputs import TensorReader, TensorReaders
from api.inference_protocol.infer_outputs import OutputSelection
from api.inference_protocol.infer_parameters import check_parameters, timeout_s
from api.models.catalog import Servable
from api.online.prediction import Prediction
from api.routes.online_requests import OnlineRequests, TraceStages
from shared.messages import Column, OutputColumn

_JSON, _BINARY = b"application/json", b"application/octet-stream"


class Inference:
    """Answers inference requests of a gateway."""

    def __init__(self, online: OnlineRequests, gateway: Gateway) -> None:
        self._online = online
        self._admission = gateway.online.admission
        self._readers = TensorReaders()

    async def infer(self, prediction: Prediction, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._online.body(
            scope, receive, _is_taken, "application/json or application/octet-stream"
        )
        stages = TraceStages(scope)
        call = _Call(body, field_of(scope["headers"], JSON_LENGTH), prediction.servable)
        columns = prediction.read_columns(lambda: call.columns(self._readers.of(prediction.servable)))
        if call.timeout_s is not None:
            prediction.wait_s = min(prediction.wait_s, self._admission.wait_s(call.timeout_s))
        self._online.admit(prediction, prediction.rows, scope)
        answered = await self._online.answered(prediction, columns, scope, partial(has_left, receive))
        headers, (content, json_bytes) = prediction.finish_with(answered, call.render)
        stages.end(prediction, answered)
        await _send(send, headers, content, json_bytes, field_of(scope["headers"], b"accept-encoding"))


class _Call:
    """An inference request between its body and its response."""

    timeout_s: float | None = None
    _request: InferenceRequest
    _outputs: OutputSelection

    def __init__(self, body: bytes, json_length: bytes | None, servable: Servable) -> None:
        self._body = body
        self._json_length = json_length
        self._servable = servable

    def columns(self, reader: TensorReader) -> tuple[list[Column], int]:
        """Parse the body. → the model's columns, and their rows"""
        self._request, binary = read_body(self._body, self._json_length)
        parameters = self._request.parameters
        check_parameters(parameters)
        self.timeout_s = timeout_s(parameters)
        requested = self._request.requested()
        self._outputs = OutputSelection(self._servable.spec, requested, all_binary=self._request.all_binary)
        return reader.read(self._request.tensors(binary))

    def render(self, columns: Sequence[OutputColumn]) -> tuple[bytes, int | None]:
        """The body of the response, and the length of its JSON if binary tensors follow."""
        head = {"model_name": self._servable.spec.name, "model_version": self._servable.version}
        if self._request.id:
            head["id"] = self._request.id
        return written_body(head, self._outputs.tensors(columns))


def _is_taken(content_type: bytes) -> bool:
    return is_json(content_type) or content_type.partition(b";")[0].strip().lower() == _BINARY


async def _send(
    send: Send, headers: Headers, content: bytes, json_bytes: int | None, accept_encoding: bytes | None
) -> None:
    if json_bytes is not None:
        headers.append((JSON_LENGTH, b"%d" % json_bytes))
    coding = coding_for(accept_encoding, len(content))
    if coding is not None:
        content = await offloaded(len(content), partial(compressed, content, coding))
        headers.append((b"content-encoding", coding.encode()))
    await respond(send, 200, headers, content, _JSON if json_bytes is None else _BINARY)
