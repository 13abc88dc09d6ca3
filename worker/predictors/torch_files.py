"""Opens the files of torch: a state_dict, a TorchScript archive, or an exported program (.pt2).

None of them runs Python code of the file. A state_dict needs the class of its network from the version's
code.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import ArtifactError
from shared.frameworks.builtin import PytorchOptions
from shared.safe_texts import first_of, foreign_text, foreign_words
from worker.predictors.implementation import MadeBy, ModelFiles
from worker.predictors.torch_inputs import OpenNetwork
from worker.predictors.torch_signatures import module_inputs, program_inputs, script_inputs

if TYPE_CHECKING:
    import torch

_STATE_DICT, _SCRIPT, _EXPORTED = "state_dict", "TorchScript", "torch.export"
_PROGRAM = re.compile(r"([^/]+/)?models/[^/]+\.json|serialized_exported_program.*")
"""A file of an exported program; a TorchScript may have a folder `models` too, in the name of its module."""
_WRAPPED = "module."
_PARTS = ("state_dict", "model_state_dict", "model", "network", "net", "weights")
"""Names under which training scripts keep a state_dict in a checkpoint."""
_KEEP = "save network.state_dict(), or export the network with torch.export or torch.jit.script"


def open_network(files: ModelFiles, options: PytorchOptions, device: str) -> OpenNetwork:
    """The network on the device, in eval mode as far as its form allows, and its inputs.

    Raises ArtifactError if the file is none of the forms, or does not fit the network's class.
    """
    match form_of(files.artifact):
        case "TorchScript":
            script = open_script(files.artifact, device)
            return OpenNetwork(script, script_inputs(script))
        case "torch.export":
            return _exported(files.artifact, device)
    network = _empty_network(options, files)
    _fill(network, read_state_dict(files.artifact, device))
    return OpenNetwork(network.to(device).eval(), module_inputs(network))


def made_by(artifact: Path) -> MadeBy:
    """torch writes its version into exported programs only; every archive has the version of its format."""
    names = _names_in(artifact)
    if not names:
        return MadeBy()
    form = form_of(artifact)
    with zipfile.ZipFile(artifact) as archive:
        version = _torch_version(archive, names) if form == _EXPORTED else ""
        formats = [name for name in names if name.rpartition("/")[2] in ("version", "archive_version")]
        written = archive.read(formats[0]).decode("ascii", "replace").strip() if formats else "unknown"
    return MadeBy({"torch": version} if version else {}, {f"torch {form}": written})


def _torch_version(archive: zipfile.ZipFile, names: list[str]) -> str:
    programs = [
        name for name in names if name.endswith(".json") and ("/models/" in name or "program" in name)
    ]
    try:
        return str(json.loads(archive.read(programs[0]))["torch_version"]) if programs else ""
    except (ValueError, KeyError, TypeError):
        return ""


def form_of(artifact: Path) -> str:
    """`state_dict`, `TorchScript` or `torch.export`."""
    names = _names_in(artifact)
    if any(_PROGRAM.fullmatch(name) for name in names):
        return _EXPORTED
    return _SCRIPT if any("/code/" in name for name in names) else _STATE_DICT


def _names_in(artifact: Path) -> list[str]:
    try:
        with zipfile.ZipFile(artifact) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return []


def open_script(artifact: Path, device: str) -> torch.nn.Module:
    """A TorchScript. Raises ArtifactError if this torch cannot open it."""
    import torch

    network: torch.nn.Module
    try:
        network = torch.jit.load(artifact, map_location=device)  # type: ignore[no-untyped-call]
    except Exception as error:  # torch raises many types for a damaged file
        raise ArtifactError(
            f"{artifact.name} is no complete TorchScript that this torch opens: copy it again, or save it "
            "again with torch.jit.save and the torch of the worker"
        ) from error
    return network.eval()


def open_program(artifact: Path) -> torch.export.ExportedProgram:
    """An exported program. Raises ArtifactError if this torch cannot open it."""
    import torch

    try:
        return torch.export.load(artifact)
    except Exception as error:  # torch raises many types for a damaged file
        if "CUDA" in str(error):
            raise ArtifactError(
                f"{artifact.name} was exported on CUDA, and this machine has none: export it again on the "
                "CPU, with network.cpu() and rows on the CPU"
            ) from error
        raise ArtifactError(
            f"{artifact.name} is no complete exported program that this torch opens: copy it again, or save "
            "it again with torch.export.save and the torch of the worker"
        ) from error


def _exported(artifact: Path, device: str) -> OpenNetwork:
    program = open_program(artifact)
    inputs, rows = program_inputs(program)
    devices = {tensor.device.type for tensor in program.state_dict.values()}
    if "cuda" in devices and device == "cpu":
        raise ArtifactError(
            "the program was exported on CUDA, and this worker has a CPU: export it on the CPU, or set "
            'device = "gpu" in model.toml'
        )
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return OpenNetwork(program.module(), inputs, rows)


def _empty_network(options: PytorchOptions, files: ModelFiles) -> torch.nn.Module:
    if not options.module:
        raise ArtifactError(
            "a state_dict holds no network: put its class beside model.toml, and declare it with module = "
            '"file:Class" in [pytorch]'
        )
    module, _, name = options.module.partition(":")
    found = getattr(files.import_module(module), name, None)
    if found is None:
        raise ArtifactError(f"{module}.py has no class {name!r}: correct module in [pytorch]")
    network: torch.nn.Module = found(**options.arguments)
    return network


def read_state_dict(artifact: Path, device: str) -> dict[str, torch.Tensor]:
    """The weights of a network. Raises ArtifactError if the file is another, such as a checkpoint."""
    import pickle

    import torch

    try:
        found = torch.load(artifact, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "weights_only" in str(error).lower():
            raise ArtifactError(
                f"{artifact.name} holds code beside weights, and is not opened: {_KEEP}"
            ) from error
        raise _unreadable(artifact, error) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise _unreadable(artifact, error) from error
    return _checked(artifact, found)


def _unreadable(artifact: Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{artifact.name} is no complete file of torch ({foreign_words(error)}): copy it again, or {_KEEP}"
    )


def _checked(artifact: Path, found: Any) -> dict[str, torch.Tensor]:  # Any: whatever the file holds
    import torch

    if not isinstance(found, Mapping):
        raise ArtifactError(f"{artifact.name} holds a {type(found).__name__}, no state_dict: {_KEEP}")
    if not all(isinstance(value, torch.Tensor) for value in found.values()):
        part = next((name for name in _PARTS if isinstance(found.get(name), Mapping)), None)
        inside = f"checkpoint[{part!r}]" if part else "its state_dict"
        raise ArtifactError(
            f"{artifact.name} is a checkpoint with {first_of(list(found), 6)}, no state_dict: save {inside} "
            "alone with torch.save"
        )
    return dict(found)


def _fill(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """`module.` before every name is that of DataParallel and is removed."""
    expected = network.state_dict().keys()
    if state and all(name.startswith(_WRAPPED) for name in state) and not expected & state.keys():
        state = {name.removeprefix(_WRAPPED): value for name, value in state.items()}
    lacking, further = sorted(expected - state.keys()), sorted(state.keys() - expected)
    if lacking or further:
        raise ArtifactError(
            f"the weights do not fit the class {type(network).__name__}: missing {first_of(lacking, 4)}, "
            f"not expected {first_of(further, 4)}; use the network.py of the training"
        )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = next((line.strip() for line in str(error).splitlines()[1:]), str(error))
        raise ArtifactError(
            f"the weights do not fit the class {type(network).__name__} ({foreign_text(reason)}): set "
            "arguments in [pytorch] as in the training"
        ) from error
