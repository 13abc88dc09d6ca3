"""`takt models new`: names, files and errors that do not depend on the framework."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from shared.field_names import spelled
from tests.support.drafts import answers, drafted, served, spec_in, stored, table_file
from worker.models.drafting.artifact_facts import DraftError
from worker.models.drafting.sample_tables import read_sample
from worker.models.drafting.toml_text import key_text, value_text

TABLE = pd.DataFrame({"Torque\n[Nm]": [1.0, 2.0, 4.0], " 온도(℃)": [3.0, 1.0, 2.0], "y": [1, 2, 3]})


def line(folder: Path) -> Path:
    return stored(LinearRegression().fit(TABLE.iloc[:, :2], TABLE["y"]), folder)


@given(st.text() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans())
def test_every_value_is_read_back(value: Any) -> None:
    assert tomllib.loads(f"x = {value_text([value])}")["x"] == [value]


@given(st.text())
def test_every_key_is_read_back(key: str) -> None:
    assert tomllib.loads(f"{key_text(key)} = 1") == {key: 1}


def test_a_time_is_read_back() -> None:
    moment = datetime(2026, 3, 2, 6, 30, 1, 250, tzinfo=UTC)
    assert tomllib.loads(f"x = {value_text(moment)}")["x"] == moment


def test_a_header_that_is_no_name_becomes_the_column(tmp_path: Path) -> None:
    drafted(tmp_path, line(tmp_path), sample=table_file(TABLE, tmp_path))
    torque, temperature = spec_in(tmp_path).inputs
    assert (torque.name, torque.column) == ("Torque [Nm]", "Torque\n[Nm]")
    assert (temperature.name, temperature.column) == ("온도(℃)", " 온도(℃)")
    assert served(tmp_path).spec.golden


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"version": "1"}, "--version: '1' is not a semantic version, such as 1.0.0"),
        ({"source": Path("nowhere.joblib")}, "--from: there is no file nowhere.joblib"),
        ({"sample": Path("nowhere.csv")}, "--sample: nowhere.csv is no file"),
        ({"code": (Path("nowhere.py"),)}, "--code: there is no file nowhere.py"),
        ({"inputs": ("a",)}, "--inputs: has 1 names, but the model takes 2 inputs"),
        ({"classes": ("a", "b")}, "--classes: the model predicts no 2 classes"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, request_: dict[str, Any], reason: str) -> None:
    with pytest.raises(DraftError, match=reason):
        drafted(tmp_path, **({"source": line(tmp_path)} | request_))
    assert not (tmp_path / "models" / "drafted").exists()


def test_a_sample_without_a_column_is_refused_with_the_nearest(tmp_path: Path) -> None:
    sample = table_file(TABLE.rename(columns={" 온도(℃)": "기온"}), tmp_path)
    with pytest.raises(DraftError, match=r"there is no column ' 온도\(℃\)', which the model takes"):
        drafted(tmp_path, line(tmp_path), sample=sample)


def test_a_table_is_no_model_and_an_unknown_file_neither(tmp_path: Path) -> None:
    with pytest.raises(DraftError, match=r"sample.csv is a table, not a trained model: .* --sample"):
        drafted(tmp_path, table_file(TABLE, tmp_path))
    (tmp_path / "model.h5").write_bytes(b"x")
    with pytest.raises(DraftError, match="is no file of a known framework; known: "):
        drafted(tmp_path, tmp_path / "model.h5")
    (tmp_path / "cut.joblib").write_bytes(line(tmp_path).read_bytes()[:100])
    with pytest.raises(DraftError, match=r"cut.joblib is no complete pickle"):
        drafted(tmp_path, tmp_path / "cut.joblib")


def test_an_existing_model_is_replaced_only_if_asked(tmp_path: Path) -> None:
    drafted(tmp_path, line(tmp_path))
    with pytest.raises(DraftError, match="exists: choose another name, or replace it with --force"):
        drafted(tmp_path, line(tmp_path))
    drafted(tmp_path, line(tmp_path), force=True, version="2.0.0")
    assert spec_in(tmp_path).default_version == "2.0.0"
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["drafted"]


def test_the_command_writes_a_line_with_what_it_made(tmp_path: Path) -> None:
    (tmp_path / "lines").touch()
    with (tmp_path / "lines").open("r+b") as lines:
        command = [sys.executable, "-m", "worker", "new", "torque", "--from", str(line(tmp_path))]
        environment = os.environ | {"TAKT_MODELS_DIR": str(tmp_path / "models")}
        subprocess.run(
            [*command, "--lines-to", str(lines.fileno())],
            env=environment,
            pass_fds=[lines.fileno()],
            check=True,
        )
    begun, made = map(json.loads, (tmp_path / "lines").read_text().splitlines())
    assert (begun["state"], made["state"]) == ("begun", "made")
    assert (made["model"], made["version"], made["golden_rows"]) == ("torque", "1.0.0", 1)


def test_a_module_that_the_file_refers_to_becomes_a_file_of_the_version(tmp_path: Path) -> None:
    code = tmp_path / "training" / "drafted_steps.py"
    code.parent.mkdir()
    code.write_text("def half(rows):\n    return rows / 2\n")
    sys.path.insert(0, str(code.parent))
    try:
        from drafted_steps import half  # type: ignore[import-not-found]
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer

        model = make_pipeline(FunctionTransformer(half), LinearRegression())
        joblib.dump(model.fit(TABLE.iloc[:, :2].to_numpy(), TABLE["y"]), tmp_path / "m.joblib")
    finally:
        sys.path.remove(str(code.parent))
        del sys.modules["drafted_steps"]
    inputs = ("a", "b")
    with pytest.raises(DraftError, match=r"the module .drafted_steps.: give drafted_steps.py with --code"):
        drafted(tmp_path, tmp_path / "m.joblib", inputs=inputs)
    drafted(tmp_path, tmp_path / "m.joblib", inputs=inputs, code=(code,))
    sys.modules.pop("drafted_steps", None)
    assert (tmp_path / "models" / "drafted" / "1.0.0" / "drafted_steps.py").is_file()
    assert served(tmp_path)


@pytest.mark.parametrize(
    ("text", "charset"),
    [("a;온도\n1,5;2\n", "cp949"), ("a\t온도\n1\t2\n", "utf-8"), ("\ufeffa,온도\n1,2\n", "utf-8")],
)
def test_a_sample_of_any_usual_dialect_is_read(tmp_path: Path, text: str, charset: str) -> None:
    path = tmp_path / "sample.csv"
    path.write_bytes(text.encode(charset))
    assert list(map(spelled, read_sample(path).columns)) == ["a", "온도"]


def test_a_table_alone_makes_a_python_model_with_its_columns(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "온도(℃)": [20.5, None, 21.0],
            "line": ["A", "B", "A"],
            "count": [1, 2, 3],
            "ok": [True, False, True],
        }
    )
    made = drafted(tmp_path, None, sample=table_file(table, tmp_path))
    spec = spec_in(tmp_path)
    assert spec.framework == "python"
    assert [(field.name, field.type) for field in spec.inputs] == [
        ("온도(℃)", "float"),
        ("line", "string"),
        ("count", "int64"),
        ("ok", "bool"),
    ]
    assert spec.inputs[0].nullable
    assert "class Model" in (made.folder / "model.py").read_text(encoding="utf-8")
    rows = [
        {"온도(℃)": 1.0, "line": "A", "count": 4, "ok": True},
        {"온도(℃)": None, "line": "B", "count": 5, "ok": False},
    ]
    assert answers(served(tmp_path), pd.DataFrame(rows, dtype=object)) == {"inputs_given": [4, 3]}
    assert any("write the rules" in note for note in made.notes)


def test_a_table_alone_may_be_cut_to_some_columns(tmp_path: Path) -> None:
    table = table_file(pd.DataFrame({"a": [1.5], "b": [2.5], "target": [0]}), tmp_path)
    drafted(tmp_path, None, sample=table, inputs=("b", "a"))
    assert spec_in(tmp_path).input_names == ["b", "a"]
    with pytest.raises(DraftError, match=r"the sample has no column 'targte'. Did you mean 'target'"):
        drafted(tmp_path, None, sample=table, inputs=("targte",), force=True)


def test_neither_file_nor_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DraftError, match="give the trained file with --from; a table alone, with --sample"):
        drafted(tmp_path, None)
