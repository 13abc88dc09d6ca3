"""PyTorch behind the Runtime protocol: a state_dict, and the network's class from the model's own folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shared.columns import Array, Columns
from shared.errors import ArtifactError
from shared.specs import InputType, ModelSpec, PytorchOptions
from worker.predictors.base import Runtime
from worker.predictors.code import import_beside

if TYPE_CHECKING:
    import torch

_FLOATS = (InputType.FLOAT, InputType.FLOAT32)


def load(spec: ModelSpec, artifact: Path, folder: Path, device: str, threads: int) -> Runtime:
    """`folder` is the model's, where its module lies.

    Raises ArtifactError where the spec's inputs make no tensor, and whatever torch raises.
    """
    import torch

    assert spec.pytorch is not None
    _check(spec)
    torch.set_num_threads(threads)
    network = _network(spec.pytorch, folder)
    network.load_state_dict(torch.load(artifact, map_location=device, weights_only=True))
    return _Pytorch(spec, network.to(device).eval(), torch.device(device))


class _Pytorch:
    def __init__(self, spec: ModelSpec, network: torch.nn.Module, device: torch.device) -> None:
        assert spec.pytorch is not None
        self._inputs = spec.inputs
        self._network = network
        self._device = device
        self._activation = _activation(spec, spec.pytorch)
        self._one_value = not spec.classifies and not spec.outputs[0].shape

    def __call__(self, columns: Columns) -> Array:
        import torch

        with torch.inference_mode():
            answer = self._activation(self._network(self._tensor(columns)))
            # a network's one value is (rows, 1) as a rule
            return (answer.reshape(-1) if self._one_value else answer).cpu().numpy()

    def _tensor(self, columns: Columns) -> torch.Tensor:
        import torch

        if len(self._inputs) == 1 and self._inputs[0].shape:
            array = columns[self._inputs[0].name]
        else:
            array = np.stack([columns[i.name] for i in self._inputs], axis=1)
        dtype = np.int64 if self._inputs[0].type is InputType.INT64 else np.float32
        # torch warns of memory that it may not write to, as Arrow's is
        return torch.from_numpy(np.require(array, dtype, ["C", "W"])).to(self._device)


def _check(spec: ModelSpec) -> None:
    tensor = len(spec.inputs) == 1 and bool(spec.inputs[0].shape)
    if not tensor and any(i.shape or i.type not in _FLOATS for i in spec.inputs):
        raise ArtifactError("a torch network takes one tensor, or features that are all floats")


def _network(options: PytorchOptions, folder: Path) -> torch.nn.Module:
    module, _, name = options.module.partition(":")
    network: torch.nn.Module = getattr(import_beside(folder, module), name)(**options.arguments)
    return network


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
