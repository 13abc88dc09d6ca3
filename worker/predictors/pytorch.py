"""PyTorch as a runtime: weights and the class of their network, TorchScript, or an exported program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, TypeGuard

from shared.columns import Columns, row_count
from shared.frameworks import Precision
from shared.frameworks.builtin import PytorchOptions
from shared.specs import ModelSpec
from worker.predictors.answer_selection import RawAnswer
from worker.predictors.base import ModelRuntime
from worker.predictors.device_pipeline import PIECE_BYTES, Pipeline, pieces
from worker.predictors.implementation import ModelFiles
from worker.predictors.torch_files import made_by, open_network
from worker.predictors.torch_inputs import InputArrays, OpenNetwork

if TYPE_CHECKING:
    import torch

__all__ = ["PIPELINED", "Copies", "load", "made_by"]

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

    torch.set_num_threads(1)  # a pool of threads would not survive a fork, and a fork server opens models
    opened = open_network(files, _options(spec), device)
    inputs = InputArrays(spec, opened.inputs)
    if spec.precision is not Precision.FLOAT32:
        # weights are cast once; under autocast every call would cast them again
        opened = replace(opened, module=opened.module.to(getattr(torch, spec.precision.value)))
    torch.set_num_threads(threads)
    plain = _Plain(inputs, _Network(spec, opened, inputs.keywords), torch.device(device))
    return plain if device == "cpu" else _OnGpu(plain, copies)


def _options(spec: ModelSpec) -> PytorchOptions:
    assert isinstance(spec.options, PytorchOptions)
    return spec.options


class _Network:
    """Maps tensors of rows on the device to answers on the device."""

    def __init__(self, spec: ModelSpec, network: OpenNetwork, keywords: Sequence[str]) -> None:
        """`keywords`: the name of each tensor that is passed by name; empty: by its position."""
        self._network = network.module
        self._rows = network.rows
        self._positions = [place for place, name in enumerate(keywords) if not name]
        self._keywords = {name: place for place, name in enumerate(keywords) if name}
        self._precision = spec.precision
        self._activation = _activation(spec, _options(spec))
        outputs = spec.outputs
        self._one_value = not spec.classifies and not outputs[0].shape and outputs[0].column is None
        self._heads_of_classes = {o.source or o.name for o in outputs if o.shows_classes}
        self.has_heads = any(output.source for output in outputs)

    def __call__(self, *tensors: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """The answer, or the answers of several heads by name, or by index if they are a tuple.

        The activation applies to a single answer, and to the heads that class views show.
        """
        answer = self._computed(tensors)
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

    def _computed(self, tensors: Sequence[torch.Tensor]) -> Any:  # Any: a tensor, or a tuple or dict of them
        import torch

        if self._precision is not Precision.FLOAT32:
            kind = getattr(torch, self._precision.value)
            tensors = [one.to(kind) if one.is_floating_point() else one for one in tensors]
        if self._rows is None or len(tensors[0]) == self._rows:
            return self._called(tensors)
        return _in_calls_of(self._rows, tensors, self._called)

    def _called(self, tensors: Sequence[torch.Tensor]) -> Any:
        named = {name: tensors[place] for name, place in self._keywords.items()}
        return self._network(*(tensors[place] for place in self._positions), **named)


def _in_calls_of(
    size: int, tensors: Sequence[torch.Tensor], call: Callable[[Sequence[torch.Tensor]], Any]
) -> Any:
    """The answer of a network for exactly `size` rows a call; the last call repeats the last row."""
    import torch

    rows, parts = len(tensors[0]), []
    for start in range(0, rows, size):
        places = torch.arange(start, start + size, device=tensors[0].device).clamp(max=rows - 1)
        parts.append(call([one[places] for one in tensors]))
    if _is_tensor(parts[0]):
        return torch.cat(parts)[:rows]
    heads = [dict(_named(part)) for part in parts]
    return {name: torch.cat([part[name] for part in heads])[:rows] for name in heads[0]}


def _is_tensor(answer: object) -> TypeGuard[torch.Tensor]:
    import torch

    return isinstance(answer, torch.Tensor)


def _named(answer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a dict, a named tuple or a tuple, by name or index."""
    if hasattr(answer, "_asdict"):
        answer = answer._asdict()
    heads = answer.items() if isinstance(answer, Mapping) else zip(map(str, count()), answer, strict=False)
    yield from ((name, head) for name, head in heads if head is not None)


def _in_float32(answer: torch.Tensor) -> torch.Tensor:
    """Floats of half precision as float32; other types are unchanged."""
    import torch

    return answer.float() if answer.dtype in (torch.float16, torch.bfloat16) else answer


class _Plain:
    """A call, with blocking copies."""

    def __init__(self, inputs: InputArrays, network: _Network, device: torch.device) -> None:
        self.inputs = inputs
        self.network = network
        self.device = device

    def __call__(self, columns: Columns) -> RawAnswer:
        import torch

        with torch.inference_mode():
            sent = [torch.from_numpy(array).to(self.device) for array in self.inputs.arrays(columns)]
            answer = self.network(*sent)
            if isinstance(answer, dict):
                return {name: head.cpu().numpy() for name, head in answer.items()}
            return answer.cpu().numpy()


class _OnGpu:
    """Large calls through a pipeline of pinned memory, small calls with blocking copies."""

    def __init__(self, plainly: _Plain, copies: Copies) -> None:
        from worker.predictors.cuda import CudaCourier

        self._plainly = plainly
        self._inputs = plainly.inputs
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

        rows, inputs = row_count(columns), self._inputs
        if not rows or inputs.are_several or self._plainly.network.has_heads:
            return self._plainly(columns)
        row_bytes = inputs.row_bytes(columns)
        if rows * row_bytes < self._least_bytes:
            return self._plainly(columns)
        with torch.inference_mode():
            return self._pipeline.run(inputs.source(columns), pieces(rows, row_bytes, self._most_bytes))


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
