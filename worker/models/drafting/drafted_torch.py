"""The facts of files of torch that contain their network: exported programs (.pt2) and TorchScript."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.columns import Array
from shared.errors import ArtifactError
from worker.models.drafting.artifact_facts import DraftError, DraftFacts
from worker.models.drafting.drafted_tensors import (
    ROWS,
    STEPS,
    TensorInput,
    network_facts,
    probed,
    row_shape,
)
from worker.models.drafting.image_inputs import CHANNELS
from worker.predictors.pickles import NEEDS_CUDA, ON_CPU
from worker.predictors.torch_files import form_of, open_program, open_script, read_state_dict
from worker.predictors.torch_inputs import NetworkInput, numpy_dtype
from worker.predictors.torch_signatures import program_inputs, script_inputs

if TYPE_CHECKING:
    import torch

_EXPORT = "torch.export.export(network, (rows,), dynamic_shapes=({0: torch.export.Dim('rows')},))"
_SIDES = (224, 256, 299, 384, 512, 128, 64, 32, 28, 640)
"""Usual heights and widths of images, for a file that does not record them."""
_RECURRENT = ("LSTM", "GRU", "RNN")


def program_facts(path: Path) -> DraftFacts:
    """An exported program records its inputs with their shapes. Raises DraftError."""
    try:
        program = open_program(path)
        places, fixed = program_inputs(program)
    except ArtifactError as error:
        named = error.detail if path.name in error.detail else f"{path.name}: {error.detail}"
        raise DraftError(named) from error
    inputs = [_recorded(one, program) for one in places]
    note = (
        f"{path.name} was exported for exactly {fixed} rows, and runs once for each {fixed}: export it for "
        f"any number with {_EXPORT}"
    )
    run = partial(_run, program.module(), places)
    notes = (note,) if fixed else ()
    answers = _arrays(probed(inputs, run, fixed or ROWS))
    return network_facts("pytorch", inputs, answers, keeps_columns=len(inputs) > 1, notes=notes)


def _recorded(one: NetworkInput, program: torch.export.ExportedProgram) -> TensorInput:
    assert one.dtype is not None
    assert one.shape is not None
    dtype = np.dtype(numpy_dtype(one.dtype)).name
    shape = row_shape(one.shape, dtype, f"the program's input {one.name!r}")
    if shape[:1] != (-1,):
        return TensorInput(one.name, dtype, shape)
    least, most = _steps(program, one.name)
    return TensorInput(one.name, dtype, shape, max(least, min(STEPS, (most or STEPS + 1) - 1)), most)


def _steps(program: torch.export.ExportedProgram, name: str) -> tuple[int, int | None]:
    """The least and the greatest length of a sequence; None: no limit below that of model.toml."""
    node = next(node for node in program.graph.nodes if node.name == name)
    bounds = program.range_constraints.get(node.meta["val"].shape[1].node.expr)
    if bounds is None:
        return 1, None
    greatest = str(bounds.upper)
    return max(1, int(bounds.lower)), int(greatest) if greatest.isdigit() and int(greatest) < 1024 else None


def script_facts(path: Path) -> DraftFacts:
    """TorchScript records no shapes: the inputs are those of its first layer.

    Raises DraftError for networks that begin otherwise, and for files without a network.
    """
    network = _network_in(path)
    places = [one for one in script_inputs(network) if one.is_required]
    if len(places) != 1:
        names = ", ".join(one.name for one in places)
        raise DraftError(
            f"{path.name} takes {len(places)} tensors ({names}), and TorchScript does not record their "
            "shapes: export the network with torch.export, which does, or write model.toml by hand "
            "(docs/own-model.md)"
        )
    run = partial(_run, network, places)
    for one in _by_first_layer(network, places[0].name):
        try:
            return network_facts("pytorch", [one], _arrays(probed([one], run)))
        except DraftError as error:
            if NEEDS_CUDA.search(error.detail):
                raise DraftError(
                    f"{path.name} computes on CUDA, and this machine has none: {ON_CPU}"
                ) from error
    raise DraftError(
        f"{path.name} is TorchScript, which does not record the shape of its input: export the network with "
        f"{_EXPORT}, which does"
    )


def _network_in(path: Path) -> Any:  # Any: torch.jit has no types
    """Raises DraftError if the file has no network."""
    try:
        if form_of(path) == "TorchScript":
            return open_script(path, "cpu")
        read_state_dict(path, "cpu")
    except ArtifactError as error:
        raise DraftError(error.detail) from error
    raise DraftError(
        f"{path.name} contains weights without their network: save the network itself with program = "
        f"{_EXPORT} and torch.export.save(program, 'model.pt2'), or write model.toml with its class "
        "(docs/own-model.md#torch)"
    )


def _by_first_layer(network: Any, name: str) -> Iterator[TensorInput]:
    """The possible inputs of the first layer with weights."""
    first = next((one for one in network.modules() if list(one.parameters(recurse=False))), None)
    layer = getattr(first, "original_name", "")
    weight = next(iter(first.parameters(recurse=False))) if first is not None else None
    if weight is None:
        return
    if layer == "Conv2d" and weight.shape[1] in CHANNELS:
        for side in _SIDES:
            yield TensorInput(name, "float32", (int(weight.shape[1]), side, side))
    elif layer == "Embedding":
        yield TensorInput(name, "int64", (-1,))
    elif layer in _RECURRENT:
        yield TensorInput(name, "float32", (-1, int(weight.shape[1])))
    elif weight.ndim == 2:
        yield TensorInput(name, "float32", (int(weight.shape[1]),))


def _run(network: Any, places: Sequence[NetworkInput], feed: dict[str, Array]) -> dict[str, Any]:
    """The tensors of a network by name, or by number. Raises any exception of the network."""
    import torch

    sent = {one.name: torch.from_numpy(feed[one.name]) for one in places}
    keywords = {one.name: sent.pop(one.name) for one in places if one.passed == "by keyword"}
    with torch.inference_mode():
        answer = network(*sent.values(), **keywords)
    return _named(answer)


def _named(answer: Any) -> dict[str, Any]:
    if hasattr(answer, "_asdict"):
        answer = answer._asdict()
    if isinstance(answer, tuple | list):
        answer = {str(place): tensor for place, tensor in enumerate(answer)}
    tensors = answer if isinstance(answer, Mapping) else {"": answer}
    return {str(name): tensor for name, tensor in tensors.items() if tensor is not None}


def _arrays(answers: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        for name, tensor in answers.items()
    }
