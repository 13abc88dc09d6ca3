"""Files of torch: TorchScript, exported programs, and state_dicts in their common variants."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.errors import ArtifactError
from tests.support.artifacts import array_of, load, version_from_file
from tests.support.specimens import declaration
from worker.predictors import library_versions

NETWORK = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width: int = 3):
        super().__init__()
        self.layer = torch.nn.Linear(width, 2)

    def forward(self, x):
        return torch.tanh(self.layer(x))
"""
SPEC: dict[str, Any] = {
    "framework": "pytorch",
    "inputs": [{"name": "x", "type": "float32", "shape": [3], "example": [0.1, 0.2, 0.3]}],
    "outputs": [{"name": "y", "view": "tensor", "shape": [2]}],
}
CLASS = {"module": "network:Net"}
ROWS = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)


def network() -> torch.nn.Module:
    namespace: dict[str, Any] = {"__name__": "training"}
    exec(NETWORK, namespace)
    torch.manual_seed(3)
    made: torch.nn.Module = namespace["Net"]().eval()
    return made


def answers(file: Path, folder: Path, **options: Any) -> Any:
    spec = declaration(**SPEC, pytorch=options)
    return array_of(load(version_from_file(spec, file, folder, {"network.py": NETWORK})), {"x": ROWS})


def expected() -> Any:
    with torch.inference_mode():
        return network()(torch.from_numpy(ROWS)).numpy().astype(np.float64)


def saved_script(file: Path) -> None:
    torch.jit.trace(network(), torch.zeros(2, 3)).save(file)  # type: ignore[no-untyped-call]


def saved_program(file: Path) -> None:
    rows = {0: torch.export.Dim("rows")}
    program = torch.export.export(network(), (torch.zeros(2, 3),), dynamic_shapes=(rows,))
    torch.export.save(program, file)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("save", "name"), [(saved_script, "m.pt"), (saved_script, "m.ts"), (saved_program, "m.pt2")]
)
def test_a_file_with_its_network_needs_no_class(
    tmp_path: Path, save: Callable[[Path], None], name: str
) -> None:
    save(tmp_path / name)
    assert np.array_equal(answers(tmp_path / name, tmp_path), expected())


def test_prefixes_of_data_parallel_are_removed(tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in network().state_dict().items()}
    torch.save(state, tmp_path / "m.pt")
    assert np.array_equal(answers(tmp_path / "m.pt", tmp_path, **CLASS), expected())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_manifest_has_the_format_and_the_version_that_exported(tmp_path: Path) -> None:
    saved_program(tmp_path / "m.pt2")
    torch.save(network().state_dict(), tmp_path / "m.pt")
    exported = library_versions.stated_by("pytorch", tmp_path / "m.pt2")
    assert exported.versions == {"torch": torch.__version__}
    weights = library_versions.stated_by("pytorch", tmp_path / "m.pt")
    assert weights.versions == {}
    assert weights.formats.keys() == {"torch state_dict"}


def with_scalar(state: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": 3, "model_state_dict": state, "optimizer": {}}


@pytest.mark.parametrize(
    ("change", "options", "why"),
    [
        (with_scalar, CLASS, r"is a checkpoint with 'epoch', .*save checkpoint\['model_state_dict'\]"),
        (list, CLASS, r"holds a list, no state_dict: save network\.state_dict"),
        (dict, {}, r"a state_dict holds no network: put its class beside model.*module = "),
        (dict, {"module": "network:Nett"}, r"network\.py has no class 'Nett': correct module in \[pytorch\]"),
        (
            dict,
            CLASS | {"arguments": {"width": 4}},
            r"do not fit the class Net \(size mismatch .*set arguments",
        ),
        (
            lambda _: {"other.weight": torch.zeros(1)},
            CLASS,
            "missing 'layer.bias'.*not expected 'other.weight'",
        ),
    ],
)
def test_a_wrong_state_dict_says_what_to_do(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], options: dict[str, Any], why: str
) -> None:
    torch.save(change(dict(network().state_dict())), tmp_path / "m.pt")
    with pytest.raises(ArtifactError, match=why):
        answers(tmp_path / "m.pt", tmp_path, **options)


def test_a_whole_pickled_network_is_not_opened(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 2), tmp_path / "m.pt")
    with pytest.raises(ArtifactError, match="holds code beside weights, and is not opened"):
        answers(tmp_path / "m.pt", tmp_path, **CLASS)


def test_a_file_that_was_cut_off_says_what_to_do(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "m.pt")
    data = (tmp_path / "m.pt").read_bytes()
    (tmp_path / "m.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(ArtifactError, match=r"m\.pt is a zip archive that is cut off.*: copy the file"):
        answers(tmp_path / "m.pt", tmp_path, **CLASS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_program_exported_for_cuda_says_what_to_do_on_a_cpu(tmp_path: Path) -> None:
    saved_program(tmp_path / "cpu.pt2")
    with (
        zipfile.ZipFile(tmp_path / "cpu.pt2") as archive,
        zipfile.ZipFile(tmp_path / "m.pt2", "w") as changed,
    ):
        for name in archive.namelist():
            data = archive.read(name)
            changed.writestr(
                name, data.replace(b'"type": "cpu"', b'"type": "cuda"') if name.endswith("json") else data
            )
    with pytest.raises(ArtifactError, match=r"m\.pt2 was exported on CUDA.*export it again on the CPU"):
        answers(tmp_path / "m.pt2", tmp_path)
