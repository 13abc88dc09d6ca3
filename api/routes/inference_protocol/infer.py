"""Inference over REST.

POST /v2/models/{model}[/versions/{version}]/infer

Requests with small bodies are answered on the fast path, `api/server/fast_path.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from api.gateway import Gateway
from api.http.compression import coding_for, compressed
from api.http.error_answers import Headers
from api.http.headers import field_of
from api.http.request_bodies import has_left, is_json, offloaded
from api.http.request_middleware import respond
from api.inference_protocol.infer_bodies import JSON_LENGTH, split_body, written_body
from api.inference_protocol.infer_plans import InferencePlan
from api.models.catalog import Servable
from api.online.prediction import Prediction
from api.routes.prediction_steps import OnlineRequests, TraceStages
from shared.messages import AnswerColumn, Column

_JSON, _BINARY = b"application/json", b"application/octet-stream"
_TAKEN = "application/json or application/octet-stream"


class InferenceResponse(Struct, frozen=True):
    """A response: its body, and the length of the body's JSON if binary tensors follow."""

    content: bytes
    json_bytes: int | None

    @property
    def media_type(self) -> bytes:
        return _JSON if self.json_bytes is None else _BINARY

    @property
    def headers(self) -> Headers:
        return [] if self.json_bytes is None else [(JSON_LENGTH, b"%d" % self.json_bytes)]


class InferenceCall:
    """An inference request between its body and its response."""

    _plan: InferencePlan
    _rows: int

    def __init__(self, body: bytes, json_length: bytes | None, servable: Servable) -> None:
        """`json_length`: the header with the length of the JSON; None: the body has no binary tensors."""
        self._body = body
        self._json_length = json_length
        self._servable = servable

    def read(self, prediction: Prediction, gateway: Gateway) -> list[Column]:
        """Parse the body; the prediction's wait, rows and form of outputs follow from it. → the columns

        Raises InvalidInputError, PayloadTooLargeError.
        """
        columns = prediction.read_columns(partial(self._columns, gateway))
        plan = self._plan
        self._rows, prediction.output_dtypes = prediction.rows, plan.output_dtypes
        if plan.timeout_s is not None:
            prediction.wait_s = min(prediction.wait_s, gateway.online.admission.wait_s(plan.timeout_s))
        return columns

    def _columns(self, gateway: Gateway) -> tuple[list[Column], int]:
        text, binary = split_body(self._body, self._json_length)
        self._plan = gateway.inference_plans.of(self._servable, text, kept=bool(binary))
        return self._plan.columns(binary)

    def render(self, columns: Sequence[AnswerColumn]) -> InferenceResponse:
        """The response of an answer."""
        head = {"model_name": self._servable.spec.name, "model_version": self._servable.version}
        if self._plan.id:
            head["id"] = self._plan.id
        return InferenceResponse(*written_body(head, self._plan.outputs.tensors(columns, self._rows)))


class Inference:
    """Answers inference requests of a gateway."""

    def __init__(self, online: OnlineRequests, gateway: Gateway) -> None:
        self._online = online
        self._gateway = gateway

    async def infer(self, prediction: Prediction, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._online.body(scope, receive, _is_taken, _TAKEN)
        stages = TraceStages(scope)
        call = InferenceCall(body, field_of(scope["headers"], JSON_LENGTH), prediction.servable)
        columns = call.read(prediction, self._gateway)
        self._online.admit(prediction, prediction.rows, scope)
        answered = await self._online.answered(prediction, columns, scope, partial(has_left, receive))
        headers, response = prediction.finish_with(answered, call.render)
        stages.end(prediction, answered)
        await _send(send, headers, response, field_of(scope["headers"], b"accept-encoding"))


@lru_cache(maxsize=64)
def is_tensor_body(content_type: bytes) -> bool:
    """Whether a Content-Type is that of a body with binary tensors."""
    return content_type.partition(b";")[0].strip().lower() == _BINARY


def _is_taken(content_type: bytes) -> bool:
    return is_json(content_type) or is_tensor_body(content_type)


async def _send(
    send: Send, headers: Headers, response: InferenceResponse, accept_encoding: bytes | None
) -> None:
    content, headers = response.content, [*headers, *response.headers]
    coding = coding_for(accept_encoding, len(content))
    if coding is not None:
        content = await offloaded(len(content), partial(compressed, content, coding))
        headers.append((b"content-encoding", coding.encode()))
    await respond(send, 200, headers, content, response.media_type)
