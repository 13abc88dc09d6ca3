"""ModelSpec: the error of an invalid model.toml names the file, the key and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import SpecError
from shared.spec_files import load_spec
from shared.specs import ModelSpec

RIGHT = """
name = "iris"
framework = "scikit-learn"
default_version = "1.0.0"
classes = ["a", "b"]

[[inputs]]
name = "width"
type = "float"
maximum = 10
example = 1.5

[[inputs]]
name = "lot"
type = "string"
nullable = true

[[outputs]]
name = "prediction"
view = "label"

[[golden]]
inputs = { width = 2 }
outputs = { prediction = "a" }
"""

TORCH = """
name = "iris"
framework = "pytorch"
default_version = "1.0.0"
[pytorch]
module = "network:Net"
[[inputs]]
name = "x"
type = "float32"
shape = [3]
example = [1, 2, 3]
[[outputs]]
name = "y"
view = "tensor"
shape = [2]
"""


def spec_of(text: str, folder: Path, name: str = "iris") -> ModelSpec:
    path = folder / name / "model.toml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return load_spec(path)


def test_a_right_spec_is_read(tmp_path: Path) -> None:
    spec = spec_of(RIGHT, tmp_path)
    assert spec.input_names == ["width", "lot"]
    assert spec.classifies
    assert spec.positional


def test_what_a_golden_row_or_an_example_leaves_out_is_null(tmp_path: Path) -> None:
    spec = spec_of(RIGHT, tmp_path)
    assert spec.golden_inputs() == [{"width": 2, "lot": None}]
    assert spec.example_row() == {"width": 1.5, "lot": None}


@pytest.mark.parametrize(
    ("right", "wrong", "key_and_why"),
    [
        ('type = "string"', 'type = "text"', "inputs[1].type: Input should be 'float', 'float32'"),
        ("maximum = 10", 'maximum = "ten"', "inputs[0].maximum"),
        (
            'framework = "scikit-learn"',
            'framework = "sklearn"',
            "framework: framework 'sklearn' is unknown; known: ",
        ),
        ("maximum = 10", "maximun = 10", "inputs[0].maximun: Extra inputs are not permitted"),
        ('default_version = "1.0.0"', "", "default_version: Field required"),
        (
            'default_version = "1.0.0"',
            'default_version = "1.0"',
            "default_version: String should match pattern",
        ),
        ('name = "lot"', 'name = "width"', "inputs: 'width' occurs twice"),
        ('classes = ["a", "b"]', "", "classes: a label view needs classes"),
        ('classes = ["a", "b"]', 'classes = ["a", "a"]', "classes: 'a' occurs twice"),
        ("maximum = 10", "maximum = 10\nminimum = 11", "inputs[0]: minimum is greater than maximum"),
        ("nullable = true", "minimum = 1", "inputs[1]: minimum and maximum are for numbers, not string"),
        ("example = 1.5", "example = 11", "inputs[0]: example: 11 is greater than 10"),
        ("example = 1.5", "example = true", "inputs[0]: example: True is not float"),
        ("{ width = 2 }", "{ width = 11 }", "golden[0].inputs.width: 11 is greater than 10"),
        ("{ width = 2 }", '{ lot = "A" }', "golden[0].inputs.width: is missing"),
        ("{ width = 2 }", "{ width = 2, wide = 3 }", "golden[0].inputs: there is no 'wide'"),
        ("prediction = ", "label = ", "golden[0].outputs: there is no 'label'; there are: prediction"),
        ('view = "label"', 'view = "label"\nround = 2', "outputs[0]: label is not rounded"),
    ],
)
def test_a_wrong_spec_names_file_key_and_reason(
    tmp_path: Path, right: str, wrong: str, key_and_why: str
) -> None:
    assert RIGHT.count(right) == 1
    with pytest.raises(SpecError) as caught:
        spec_of(RIGHT.replace(right, wrong), tmp_path)
    assert f"{tmp_path}/iris/model.toml: {key_and_why}" in caught.value.detail


@pytest.mark.parametrize(
    ("right", "wrong", "key_and_why"),
    [
        ('framework = "pytorch"', 'framework = "scikit-learn"', "pytorch: this table is for framework = 'py"),
        ('"network:Net"', '"network.py"', "pytorch.module: String should match pattern"),
        ("[1, 2, 3]", "[1, 2]", "inputs[0]: example: is not of shape [3]"),
        ("shape = [2]", "", "outputs[0]: shape is for a tensor view"),
        ('name = "y"', 'name = "z"\nview = "value"\n[[outputs]]\nname = "y"', "outputs: value and tensor"),
        (
            'name = "y"',
            'name = "z"\nview = "class_index"\n[[outputs]]\nname = "y"',
            "outputs: class views",
        ),
        ("example = [1, 2, 3]", "", "inputs: 'x' needs an example, or the model a golden row"),
    ],
)
def test_a_wrong_network_spec_names_file_key_and_reason(
    tmp_path: Path, right: str, wrong: str, key_and_why: str
) -> None:
    assert right in TORCH
    with pytest.raises(SpecError) as caught:
        spec_of(TORCH.replace(right, wrong), tmp_path)
    assert f"{tmp_path}/iris/model.toml: {key_and_why}" in caught.value.detail


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = RIGHT.replace("maximum = 10", "maximun = 10").replace('"1.0.0"', '"one"')
    with pytest.raises(SpecError) as caught:
        spec_of(text, tmp_path)
    assert len(caught.value.detail.splitlines()) == 2


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"model\.toml: is not TOML: .*line 1"):
        spec_of("name =\n", tmp_path)


def test_a_spec_in_the_folder_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"name: is 'iris', but the folder is 'rose'"):
        spec_of(RIGHT, tmp_path, "rose")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nothing/model\.toml: cannot be read"):
        load_spec(tmp_path / "nothing" / "model.toml")


@pytest.mark.parametrize(
    ("declared", "device", "may"),
    [("cpu", "cpu", True), ("cpu", "cuda:0", False), ("gpu", "cpu", False), ("gpu", "cuda:1", True)],
)
def test_a_model_goes_only_to_its_device(tmp_path: Path, declared: str, device: str, may: bool) -> None:
    spec = spec_of(RIGHT.replace("[[inputs]]", f'device = "{declared}"\n[[inputs]]', 1), tmp_path)
    assert spec.runs_on(device) is may


def test_a_model_for_any_device_goes_to_both(tmp_path: Path) -> None:
    spec = spec_of(RIGHT, tmp_path)
    assert spec.runs_on("cpu")
    assert spec.runs_on("cuda:0")
