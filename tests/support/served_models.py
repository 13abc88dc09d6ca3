"""A model for each artifact of the list in docs/models.md, with its answers in this process.

Every model answers class probabilities to rows of four numbers, which are its inputs, or from which a
sequence or an image is made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from shared.columns import Array

COLUMNS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
CLASSES = ["setosa", "versicolor", "virginica"]
ROWS, SPECIES = load_iris(return_X_y=True)
FRAME = pd.DataFrame(ROWS, columns=COLUMNS)
FLOAT32_TOLERANCE = 1e-6
"""A matrix product of torch may differ in the last bits of float32 between a single row and many."""

NETWORK = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

    def forward(self, x):
        return self.layers(x)
"""
RULES = """
import json
import numpy as np
from shares import shares

class Model:
    def load(self, folder):
        self.widths = np.array(json.loads((folder / "widths.json").read_text()))

    def predict(self, columns):
        distances = np.abs(columns["petal width (cm)"][:, np.newaxis] - self.widths)
        return {"probabilities": shares(distances)}
"""
SHARES = """
def shares(distances):
    near = 1 / (distances + 0.5)
    return near / near.sum(axis=1, keepdims=True)
"""
WIDTHS = [0.2, 1.3, 2.0]

INPUT = """
[[inputs]]
name = "{name}"
type = "float"
example = {example}
"""
INPUTS = "".join(INPUT.format(name=name, example=ROWS[0, n]) for n, name in enumerate(COLUMNS))

Answers = Callable[[Array], Array]


def numbers(rows: Array) -> list[dict[str, Any]]:
    """The inputs of most models."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows.tolist()]


@dataclass(frozen=True)
class Made:
    """An artifact: files beside model.toml, and the probabilities that it answers in this process."""

    answers: Answers
    options: str = ""  # the framework's table in model.toml
    modules: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 0.0
    inputs: str = INPUTS  # the tables in model.toml
    objects: Callable[[Array], list[dict[str, Any]]] = numbers  # the inputs of each row; an image is bytes


def forest() -> Any:  # Any: scikit-learn has no types
    return RandomForestClassifier(10, random_state=1).fit(FRAME, SPECIES)


def of_estimator(estimator: Any) -> Answers:
    return lambda rows: np.asarray(estimator.predict_proba(pd.DataFrame(rows, columns=COLUMNS)))


def scikit_learn(home: Path) -> Made:
    estimator = forest()
    joblib.dump(estimator, home / "model.joblib")
    return Made(of_estimator(estimator))


def skops(home: Path) -> Made:
    import skops.io

    estimator = forest()
    skops.io.dump(estimator, home / "model.skops")
    return Made(of_estimator(estimator), '[scikit-learn]\ntrusted = ["sklearn.tree._tree.Tree"]\n')


def network() -> Any:  # Any: made from a text
    import torch

    namespace: dict[str, Any] = {"__name__": "training"}
    exec(NETWORK, namespace)
    torch.manual_seed(1)
    return namespace["Net"]().eval()


def of_network(net: Any) -> Answers:
    import torch

    def answers(rows: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(torch.softmax(net(torch.from_numpy(rows.astype(np.float32))), dim=1))

    return answers


def state_dict(home: Path) -> Made:
    import torch

    net = network()
    torch.save(net.state_dict(), home / "model.pt")
    options = '[pytorch]\nmodule = "network:Net"\nactivation = "softmax"\n'
    return Made(of_network(net), options, {"network.py": NETWORK}, tolerance=FLOAT32_TOLERANCE)


def torchscript(home: Path) -> Made:
    import torch

    net = network()
    torch.jit.trace(net, torch.zeros(2, 4)).save(home / "model.ts")  # type: ignore[no-untyped-call]
    return Made(of_network(net), '[pytorch]\nactivation = "softmax"\n', tolerance=FLOAT32_TOLERANCE)


def exported(home: Path) -> Made:
    import torch

    net = network()
    rows = {0: torch.export.Dim("rows")}
    torch.export.save(
        torch.export.export(net, (torch.zeros(2, 4),), dynamic_shapes=(rows,)), home / "model.pt2"
    )
    return Made(of_network(net), '[pytorch]\nactivation = "softmax"\n', tolerance=FLOAT32_TOLERANCE)


def onnx(home: Path) -> Made:
    import onnxruntime
    import skl2onnx

    estimator = RandomForestClassifier(10, random_state=1).fit(ROWS, SPECIES)
    model = skl2onnx.to_onnx(estimator, ROWS[:1].astype(np.float32))
    (home / "model.onnx").write_bytes(model.SerializeToString())
    session = onnxruntime.InferenceSession(home / "model.onnx", providers=["CPUExecutionProvider"])

    def answers(rows: Array) -> Array:
        _, maps = session.run(None, {"X": rows.astype(np.float32)})
        return np.array([list(row.values()) for row in maps])

    return Made(answers)


def xgboost_in(home: Path, name: str) -> Made:
    import xgboost

    options = {"objective": "multi:softprob", "num_class": 3, "nthread": 1}
    booster = xgboost.train(options, xgboost.DMatrix(ROWS, SPECIES), num_boost_round=10)
    booster.save_model(home / name)
    return Made(lambda rows: np.asarray(booster.predict(xgboost.DMatrix(rows))))


def xgboost_wrapper(home: Path) -> Made:
    import xgboost

    return wrapper(home, xgboost.XGBClassifier(n_estimators=10, n_jobs=1))


def lightgbm_wrapper(home: Path) -> Made:
    import lightgbm

    return wrapper(home, lightgbm.LGBMClassifier(n_estimators=10, n_jobs=1, verbosity=-1))


def catboost_wrapper(home: Path) -> Made:
    import catboost

    options = {"iterations": 10, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    return wrapper(home, catboost.CatBoostClassifier(**options))


def wrapper(home: Path, estimator: Any) -> Made:
    """A booster's estimator for scikit-learn."""
    joblib.dump(estimator.fit(ROWS, SPECIES), home / "model.joblib")
    return Made(lambda rows: np.asarray(estimator.predict_proba(rows)))


def lightgbm(home: Path) -> Made:
    import lightgbm

    options = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(options, lightgbm.Dataset(ROWS, SPECIES), num_boost_round=10)
    booster.save_model(home / "model.txt")
    return Made(lambda rows: np.asarray(booster.predict(rows)))


def catboost(home: Path) -> Made:
    import catboost

    model = catboost.CatBoostClassifier(iterations=10, verbose=0, thread_count=1, allow_writing_files=False)
    model.fit(ROWS, SPECIES)
    model.save_model(str(home / "model.cbm"))
    return Made(lambda rows: np.asarray(model.predict_proba(rows)))


def mlflow(home: Path) -> Made:
    import mlflow.sklearn

    estimator = forest()
    signature = mlflow.models.infer_signature(FRAME, SPECIES)
    mlflow.sklearn.save_model(
        estimator,
        str(home / "model"),
        signature=signature,
        pip_requirements=[],
        serialization_format="cloudpickle",
    )
    return Made(of_estimator(estimator))


def python(home: Path) -> Made:
    (home / "widths.json").write_text(json.dumps(WIDTHS), encoding="utf-8")
    namespace: dict[str, Any] = {}
    exec(SHARES, namespace)

    def answers(rows: Array) -> Array:
        return np.asarray(namespace["shares"](np.abs(rows[:, 3:] - np.array(WIDTHS))))

    return Made(answers, modules={"model.py": RULES, "shares.py": SHARES})


MODELS: dict[tuple[str, str], Callable[[Path], Made]] = {
    ("scikit-learn", "`.joblib`, `.pkl`"): scikit_learn,
    ("scikit-learn", "`.skops`"): skops,
    ("pytorch", "state_dict (`.pt`, `.pth`)"): state_dict,
    ("pytorch", "TorchScript (`.pt`, `.ts`)"): torchscript,
    ("pytorch", "exported program (`.pt2`)"): exported,
    ("onnx", "`.onnx`"): onnx,
    ("xgboost", "`.json`"): partial(xgboost_in, name="model.json"),
    ("xgboost", "`.ubj`"): partial(xgboost_in, name="model.ubj"),
    ("xgboost", "estimator (`.joblib`)"): xgboost_wrapper,
    ("lightgbm", "`.txt`"): lightgbm,
    ("lightgbm", "estimator (`.joblib`)"): lightgbm_wrapper,
    ("catboost", "`.cbm`"): catboost,
    ("catboost", "estimator (`.joblib`)"): catboost_wrapper,
    ("mlflow", "a folder with `MLmodel`"): mlflow,
    ("python", "any files and modules"): python,
}
"""Framework and artifact, as in the table, → what makes the artifact."""

DECLARATION = """
name = "{name}"
framework = "{framework}"
default_version = "1.0.0"
response_model_version = false
classes = {classes}

{options}
{inputs}
[[outputs]]
name = "species"
view = "label"

[[outputs]]
name = "probabilities"
view = "probabilities"
"""


def write_served_model(root: Path, name: str, framework: str, make: Callable[[Path], Made]) -> Made:
    """The folder of a model: its declaration, its artifact and its modules, without a build.py."""
    home = root / name
    home.mkdir(parents=True)
    made = make(home)
    for file, text in made.modules.items():
        (home / file).write_text(text, encoding="utf-8")
    declared = DECLARATION.format(
        name=name, framework=framework, classes=json.dumps(CLASSES), options=made.options, inputs=made.inputs
    )
    (home / "model.toml").write_text(declared, encoding="utf-8")
    return made
