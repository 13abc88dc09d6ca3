"""The part of an inference request that follows from its JSON. It is kept, since clients repeat the JSON.

Repeated requests with binary tensors often differ only in the bytes after the JSON. If each tensor has the
name of an input and contains numbers, the plan also contains the position of each input in the bytes. Later
requests then only check the range of their numbers.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from api.inference_protocol.infer_bodies import InferenceRequest, decoded_request
from api.inference_protocol.infer_inputs import TensorReader, TensorReaders
from api.inference_protocol.infer_outputs import OutputSelection
from api.inference_protocol.infer_parameters import check_parameters, timeout_s
from api.inference_protocol.number_columns import NumberLayout
from api.models.catalog import Servable
from shared.messages import Column
from shared.specs import ModelSpec

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

MOST_KEPT = 128
"""Largest number of kept plans of a model version."""
MOST_KEPT_BYTES = 4096
"""Longest JSON whose plan is kept."""


class InferencePlan:
    """All that follows from the JSON of a request to a model version."""

    _layout: NumberLayout | None = None

    def __init__(self, spec: ModelSpec, reader: TensorReader, request: InferenceRequest) -> None:
        """Raises InvalidInputError."""
        check_parameters(request.parameters)
        self.id = request.id
        self.timeout_s = timeout_s(request.parameters)
        self.outputs = OutputSelection(spec, request.requested(), all_binary=request.all_binary)
        self.output_dtypes = self.outputs.dtypes
        self._reader = reader
        self._request = request

    def columns(self, binary: memoryview) -> tuple[list[Column], int]:
        """The model's columns, and their rows. `binary`: the bytes after the JSON.

        Raises InvalidInputError, PayloadTooLargeError.
        """
        layout = self._layout
        if layout is not None and (columns := layout.columns(binary)) is not None:
            return columns, layout.rows
        tensors = self._request.tensors(binary)
        found = self._reader.read(tensors)
        if binary:
            self._layout = self._reader.layout(tensors)
        return found


class InferencePlans:
    """The plans of model versions."""

    def __init__(self, readers: TensorReaders) -> None:
        self._readers = readers
        self._kept: WeakKeyDictionary[Servable, _lru_cache_wrapper[InferencePlan]] = WeakKeyDictionary()

    def of(self, servable: Servable, text: bytes, *, kept: bool) -> InferencePlan:
        """The plan of a request's JSON. `kept`: whether the same JSON is likely to come again.

        Raises InvalidInputError.
        """
        if not kept or len(text) > MOST_KEPT_BYTES:
            return _made(servable.spec, self._readers.of(servable), text)
        plans = self._kept.get(servable)
        if plans is None:
            make = partial(_made, servable.spec, self._readers.of(servable))
            plans = self._kept[servable] = lru_cache(MOST_KEPT)(make)
        return plans(text)


def _made(spec: ModelSpec, reader: TensorReader, text: bytes) -> InferencePlan:
    return InferencePlan(spec, reader, decoded_request(text))
