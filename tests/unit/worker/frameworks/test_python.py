"""Python models: code and files of the version."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import ArtifactError, PredictionFailedError
from tests.support.artifacts import load, shown, version_from_file
from tests.support.specimens import declaration
from worker.predictors import Predictor
from worker.predictors.answer_selection import NamedAnswers

MODEL = """
import json
import numpy as np
from rules import rate


class Model:
    def load(self, folder):
        self.limits = json.loads((folder / "limits.json").read_text())

    def predict(self, columns):
        torque = columns["torque"]
        limit = np.array([self.limits.get(machine, 10.0) for machine in columns["machine"]])
        return {"score": rate(torque, limit), "alarm": torque > limit, "limit": limit}
"""
RULES = "def rate(torque, limit):\n    return torque / limit\n"
OUTPUTS = [
    {"name": "score", "view": "value"},
    {"name": "alarm", "view": "value", "type": "bool"},
]
INPUTS = [
    {"name": "machine", "type": "string", "example": "A"},
    {"name": "torque", "type": "float", "example": 5.0},
]


def version_in(
    folder: Path, *, model: str = MODEL, rules: str = RULES, name: str = "rules", **changes: Any
) -> Any:
    (folder / name).mkdir(parents=True)
    file = folder / name / "limits.json"
    file.write_text('{"A": 4.0}', encoding="utf-8")
    spec = declaration(
        **({"name": name, "framework": "python", "inputs": INPUTS, "outputs": OUTPUTS} | changes)
    )
    return version_from_file(spec, file, folder / "repository", {"model.py": model, "rules.py": rules})


def columns() -> dict[str, Any]:
    return {"machine": np.array(["A", "B"], object), "torque": np.array([5.0, 5.0])}


def test_a_class_answers_named_typed_outputs_from_files_of_the_version(tmp_path: Path) -> None:
    answer = shown(load(version_in(tmp_path)), columns())
    assert answer == {"score": [1.25, 0.5], "alarm": [True, False]}
    assert "rules" not in sys.modules


def test_a_module_with_functions_is_a_model_too(tmp_path: Path) -> None:
    code = "def predict(columns):\n    return columns['torque'] * 2\n"
    version = version_in(
        tmp_path, model=code, outputs=[{"name": "y", "view": "value"}], python={"module": "model"}
    )
    assert shown(load(version), columns()) == {"y": [10.0, 10.0]}


def test_two_models_with_modules_of_the_same_name_keep_their_own(tmp_path: Path) -> None:
    one = load(version_in(tmp_path, name="one"))
    other = load(version_in(tmp_path, name="other", rules=RULES.replace("/", "*")))
    scores = [predictor.predict(columns()) for predictor in (one, other)]
    assert [answer["score"].tolist() for answer in scores if isinstance(answer, dict)] == [
        [1.25, 0.5],
        [20, 50],
    ]


def test_a_changed_module_is_refused(tmp_path: Path) -> None:
    version = version_in(tmp_path)
    (version.folder / "rules.py").write_text(RULES.replace("/", "+"), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"rules\.py: is not opened: .*was changed after it was built"):
        load(version)


@pytest.mark.parametrize(
    ("model", "options", "why"),
    [
        (
            MODEL,
            {"module": "modle:Model"},
            "the version has no module 'modle': put modle.py beside model.toml",
        ),
        (MODEL, {"module": "model:Modle"}, r"model\.py has no class 'Modle', but 'Model': correct module"),
        ("class Model: pass\n", {}, r"model:Model has no predict\(columns\): define it"),
        ("import nothing_here\n", {}, "needs the module 'nothing_here': put nothing_here.py beside"),
    ],
)
def test_a_wrong_class_says_what_to_do(tmp_path: Path, model: str, options: dict[str, str], why: str) -> None:
    with pytest.raises(ArtifactError, match=why):
        load(version_in(tmp_path, model=model, python=options))


def test_an_answer_of_another_length_fails(tmp_path: Path) -> None:
    predictor = load(version_in(tmp_path))
    answer: NamedAnswers = {"score": np.zeros(1), "alarm": np.zeros(2, bool)}
    broken = Predictor(predictor.version, lambda _: answer)
    with pytest.raises(PredictionFailedError, match="score"):
        broken.predict(columns())
