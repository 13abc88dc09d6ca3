"""The inputs that a network of torch records: of a class in Python, a TorchScript, or an exported program."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import ArtifactError
from shared.safe_texts import first_of
from worker.predictors.torch_inputs import NetworkInput, Passed

if TYPE_CHECKING:
    import torch


_PASSED: dict[object, Passed] = {
    inspect.Parameter.KEYWORD_ONLY: "by keyword",
    inspect.Parameter.POSITIONAL_ONLY: "by position",
}


def module_inputs(network: torch.nn.Module) -> tuple[NetworkInput, ...]:
    """The parameters of `forward`; empty if it takes any number (`*args`)."""
    parameters = inspect.signature(network.forward).parameters.values()
    if any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters):
        return ()
    return tuple(
        NetworkInput(
            one.name,
            is_required=one.default is inspect.Parameter.empty,
            passed=_PASSED.get(one.kind, "either"),
        )
        for one in parameters
    )


def script_inputs(network: Any) -> tuple[NetworkInput, ...]:  # Any: torch.jit has no types
    return tuple(
        NetworkInput(
            one.name,
            is_required=not one.has_default_value(),
            passed="by keyword" if one.kwarg_only else "either",
        )
        for one in network.forward.schema.arguments[1:]
    )


def program_inputs(
    program: torch.export.ExportedProgram,
) -> tuple[tuple[NetworkInput, ...], int | None]:
    """The inputs with their shapes, and the number of rows of a call if the export fixed it.

    Raises ArtifactError if an input is no tensor, or if not every tensor has the rows as its first axis.
    """
    tensors = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    names = [str(name) for name in program.graph_signature.user_inputs]
    own_names = list(inspect.signature(program.module().forward).parameters)
    if len(own_names) != len(names) or not all(_is_tensor(tensors.get(name)) for name in names):
        raise ArtifactError(
            f"the program takes {first_of(own_names)}, not all of them tensors: export it again with a plain "
            "tensor for each input"
        )
    values = [tensors[name] for name in names]
    positional = len(program.example_inputs[0]) if program.example_inputs else len(names)
    inputs = tuple(
        NetworkInput(
            name,
            passed="by position" if place < positional else "by keyword",
            dtype=value.dtype,
            shape=tuple(map(_length, value.shape[1:])),
        )
        for place, (name, value) in enumerate(zip(own_names, values, strict=True))
    )
    return inputs, _rows(own_names, values)


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.ndim > 0


def _length(size: Any) -> int | None:  # Any: an integer, or a symbol of torch
    return size if isinstance(size, int) else None


def _rows(names: Sequence[str], values: Sequence[torch.Tensor]) -> int | None:
    """The fixed number of rows; None: any. Raises ArtifactError if the inputs differ in it."""
    counts = [_length(value.shape[0]) for value in values]
    if len(set(counts)) > 1:
        shown = ", ".join(
            f"{name}: {'any' if n is None else n}" for name, n in zip(names, counts, strict=True)
        )
        raise ArtifactError(
            f"the program takes different numbers of rows ({shown}): export it with the rows as the first "
            "axis of every input, and one torch.export.Dim for all of them"
        )
    return counts[0] if counts else None
