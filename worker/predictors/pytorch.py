"""PyTorch as a runtime: weights and the class of their network, TorchScript, or an exported program."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from shared.columns import Array, Columns, row_count
from shared.errors import ArtifactError
from shared.frameworks import Precision
from shared.frameworks.builtin import PytorchOptions
from shared.input_specs import InputType
from shared.specs import ModelSpec
from worker.predictors.base import ModelRuntime
from worker.predictors.implementation import ModelFiles
from worker.predictors.named_answers import RawAnswer
from worker.predictors.pipeline import PIECE_BYTES, Pipeline, Source, pieces
from worker.predictors.torch_files import made_by, open_network

if TYPE_CHECKING:
    import torch

__all__ = ["PIPELINED", "Copies", "load", "made_by"]

_FLOATS = (InputType.FLOAT, InputType.FLOAT32)
_KEPT_BYTES = 16 * 2**20  # for each of the four buffers of a pipeline


@dataclass(frozen=True)
class Copies:
    """How rows and answers move between host and GPU. On a CPU nothing is copied."""

    pinned: bool = True  # host memory that the device accesses directly
    pipelined: bool = True  # large calls in pieces, whose copies overlap with computing
    least_bytes: int = 2**16  # of rows: CUDA stages smaller copies itself, and streams would cost more


PIPELINED = Copies()


def load(
    spec: ModelSpec, files: ModelFiles, device: str, threads: int, *, copies: Copies = PIPELINED
) -> ModelRuntime:
    """Raises ArtifactError if the spec's inputs do not form a tensor, and any exception of torch."""
    import torch

    _check(spec)
    torch.set_num_threads(1)  # a pool of threads would not survive a fork, and a fork server opens models
    network = open_network(files, _options(spec), device)
    if spec.precision is not Precision.FLOAT32:
        # weights are cast once; under autocast every call would cast them again
        network = network.to(getattr(torch, spec.precision.value))
    torch.set_num_threads(threads)
    plain = _Plain(_InputArray(spec), _Network(spec, network), torch.device(device))
    return plain if device == "cpu" else _OnGpu(plain, copies)


def _options(spec: ModelSpec) -> PytorchOptions:
    assert isinstance(spec.options, PytorchOptions)
    return spec.options


class _Network:
    """Maps rows on the device to answers on the device."""

    def __init__(self, spec: ModelSpec, network: torch.nn.Module) -> None:
        self._network = network
        self._precision = spec.precision
        self._activation = _activation(spec, _options(spec))
        outputs = spec.outputs
        self._one_value = not spec.classifies and not outputs[0].shape and outputs[0].column is None
        self._heads_of_classes = {o.source or o.name for o in outputs if o.shows_classes}
        self.has_heads = any(output.source for output in outputs)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """The answer, or the answers of several heads by name, or by index if they are a tuple.

        The activation applies to a single answer, and to the heads that class views show.
        """
        answer = self._computed(rows)
        if not _is_tensor(answer):
            self.has_heads = True
            return {name: self._of_head(name, head) for name, head in _named(answer)}
        activated = self._activation(_in_float32(answer))
        # a network with a single value usually returns (rows, 1)
        return activated.reshape(-1) if self._one_value else activated

    def single(self, rows: torch.Tensor) -> torch.Tensor:
        """The answer of a network without several heads."""
        answer = self(rows)
        if isinstance(answer, dict):
            raise TypeError("the network returns several tensors: select them with `from` in the outputs")
        return answer

    def _of_head(self, name: str, head: torch.Tensor) -> torch.Tensor:
        """Converts to float32 before the activation: a softmax in half precision loses most of its digits."""
        head = _in_float32(head)
        return self._activation(head) if name in self._heads_of_classes else head

    def _computed(self, rows: torch.Tensor) -> Any:  # Any: a tensor, or a tuple or dict of tensors
        import torch

        if self._precision is not Precision.FLOAT32 and rows.is_floating_point():
            rows = rows.to(getattr(torch, self._precision.value))
        return self._network(rows)


def _is_tensor(answer: object) -> TypeGuard[torch.Tensor]:
    import torch

    return isinstance(answer, torch.Tensor)


def _named(answer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a dict, a named tuple or a tuple, by name or index."""
    if hasattr(answer, "_asdict"):
        answer = answer._asdict()
    yield from answer.items() if isinstance(answer, Mapping) else zip(map(str, count()), answer, strict=False)


def _in_float32(answer: torch.Tensor) -> torch.Tensor:
    """Floats of half precision as float32; other types are unchanged."""
    import torch

    return answer.float() if answer.dtype in (torch.float16, torch.bfloat16) else answer


class _InputArray:
    """A call's columns as the single array that a network takes."""

    def __init__(self, spec: ModelSpec) -> None:
        self._names = spec.input_names
        first = spec.inputs[0]
        self._tensor = bool(first.shape or first.image)
        self._dtype = np.dtype(np.int64 if first.type is InputType.INT64 else np.float32)
        if first.image is not None:
            self._dtype = np.dtype(first.image.dtype)

    def array(self, columns: Columns) -> Array:
        """In C order and writable: torch warns about read-only memory, such as Arrow's."""
        arrays = [columns[name] for name in self._names]
        array = arrays[0] if self._tensor else np.stack(arrays, axis=1)
        return np.require(array, self._dtype, ["C", "W"])

    def source(self, columns: Columns) -> Source:
        """The same array, to be written directly into the memory of a copy."""
        arrays = [columns[name] for name in self._names]
        if self._tensor:
            return Source(
                arrays[0].shape[1:],
                self._dtype,
                lambda piece, into: np.copyto(into, arrays[0][piece], casting="unsafe"),
            )
        return Source((len(arrays),), self._dtype, lambda piece, into: _side_by_side(arrays, piece, into))

    def row_bytes(self, columns: Columns) -> int:
        size = math.prod(columns[self._names[0]].shape[1:]) if self._tensor else len(self._names)
        return size * self._dtype.itemsize


class _Plain:
    """A call, with blocking copies."""

    def __init__(self, rows: _InputArray, network: _Network, device: torch.device) -> None:
        self.rows = rows
        self.network = network
        self.device = device

    def __call__(self, columns: Columns) -> RawAnswer:
        import torch

        with torch.inference_mode():
            sent = torch.from_numpy(self.rows.array(columns)).to(self.device)
            answer = self.network(sent)
            if isinstance(answer, dict):
                return {name: head.cpu().numpy() for name, head in answer.items()}
            return answer.cpu().numpy()


class _OnGpu:
    """Large calls through a pipeline of pinned memory, small calls with blocking copies."""

    def __init__(self, plainly: _Plain, copies: Copies) -> None:
        from worker.predictors.cuda import CudaCourier

        self._plainly = plainly
        self._rows = plainly.rows
        self._least_bytes = copies.least_bytes
        self._most_bytes = PIECE_BYTES if copies.pipelined else sys.maxsize
        self._pipeline = Pipeline(
            CudaCourier(plainly.device, plainly.network.single, pinned=copies.pinned), _KEPT_BYTES
        )

    def __call__(self, columns: Columns) -> RawAnswer:
        import torch

        from worker.predictors.cuda import release_tensors

        try:
            return self._answered(columns)
        except torch.OutOfMemoryError as error:
            release_tensors(error)
            raise

    def _answered(self, columns: Columns) -> RawAnswer:
        import torch

        rows, row_bytes = row_count(columns), self._rows.row_bytes(columns)
        if not rows or rows * row_bytes < self._least_bytes or self._plainly.network.has_heads:
            return self._plainly(columns)
        with torch.inference_mode():
            return self._pipeline.run(self._rows.source(columns), pieces(rows, row_bytes, self._most_bytes))


def _side_by_side(arrays: Sequence[Array], piece: slice, into: Array) -> None:
    for number, array in enumerate(arrays):
        into[:, number] = array[piece]


def _check(spec: ModelSpec) -> None:
    tensor = len(spec.inputs) == 1 and bool(spec.inputs[0].shape or spec.inputs[0].image)
    if not tensor and any(i.shape or i.type not in _FLOATS for i in spec.inputs):
        raise ArtifactError("a torch network takes one tensor, or features that are all floats")


def _activation(spec: ModelSpec, options: PytorchOptions) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    match options.activation:
        case "softmax":
            return lambda logits: torch.softmax(logits, dim=1)
        case "sigmoid" if spec.classifies:
            return lambda logit: torch.cat([1 - torch.sigmoid(logit), torch.sigmoid(logit)], dim=1)
        case "sigmoid":
            return torch.sigmoid
        case "none":
            return lambda answer: answer
