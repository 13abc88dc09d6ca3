"""The facts of files of torch that contain their network: exported programs (.pt2) and TorchScript."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.columns import Array
from shared.input_specs import InputType
from shared.texts import foreign_words
from worker.models.drafting.drafted_tensors import TensorInput, network_facts, row_shape
from worker.models.drafting.facts import DraftError, DraftFacts

if TYPE_CHECKING:
    import torch

_ROWS = 2
_EXPORT = "torch.export.export(network, (rows,), dynamic_shapes=({0: torch.export.Dim('rows')},))"


def program_facts(path: Path) -> DraftFacts:
    """An exported program records the shape of its input. Raises DraftError if it takes other than one."""
    import torch

    try:
        program = torch.export.load(path)
    except Exception as error:  # torch raises many types for a damaged file
        raise DraftError(
            f"{path.name} is no exported program that this torch opens ({foreign_words(error)}): save it "
            "again with torch.export.save"
        ) from error
    names = program.graph_signature.user_inputs
    tensors = {node.name: node.meta.get("val") for node in program.graph.nodes if node.name in names}
    if len(names) != 1 or not isinstance(tensors.get(str(names[0])), torch.Tensor):
        raise DraftError(
            f"{path.name} takes {len(names)} inputs ({', '.join(map(str, names))}), and a network takes one "
            "tensor: export it with a single input"
        )
    value = tensors[str(names[0])]
    assert value is not None
    if isinstance(value.shape[0], int):
        raise DraftError(
            f"{path.name} was exported for exactly {value.shape[0]} rows: export it for any number with "
            f"{_EXPORT}"
        )
    shape = row_shape(list(value.shape), f"the program's input {names[0]!r}")
    return _facts(program.module(), str(names[0]), shape, value.dtype)


def script_facts(path: Path) -> DraftFacts:
    """TorchScript records no shapes: a network that begins with a linear layer takes its width.

    Raises DraftError for other networks, and for files without a network.
    """
    import torch

    try:
        network = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:  # torch raises many types
        raise DraftError(
            f"{path.name} contains no network, only weights or a checkpoint: save the network itself with "
            f"{_EXPORT} and torch.export.save(program, 'model.pt2'), or declare its class by hand "
            "(docs/own-model.md)"
        ) from error
    first = next(iter(network.parameters()), None)
    if first is None or first.ndim != 2:
        raise DraftError(
            f"{path.name} is TorchScript, which does not record the shape of its input: export the network "
            f"with {_EXPORT}, which does"
        )
    return _facts(network, "x", (int(first.shape[1]),), torch.float32)


def _facts(network: Any, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> DraftFacts:
    import torch

    kind = InputType.INT64 if dtype is torch.int64 else InputType.FLOAT32
    try:
        with torch.inference_mode():
            answer = network(torch.ones((_ROWS, *shape), dtype=dtype))
    except Exception as error:  # a network may raise anything
        raise DraftError(f"the network fails on a made-up row: {foreign_words(error)}") from error
    return network_facts("pytorch", [TensorInput(name, kind, shape)], _named(answer))


def _named(answer: Any) -> Mapping[str, Array]:
    """The tensors of a network with several heads, by name or number."""
    if hasattr(answer, "_asdict"):
        answer = answer._asdict()
    if isinstance(answer, tuple | list):
        answer = {str(place): tensor for place, tensor in enumerate(answer)}
    tensors = answer if isinstance(answer, Mapping) else {"": answer}
    return {name: _array(tensor) for name, tensor in tensors.items()}


def _array(tensor: torch.Tensor) -> Array:
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
