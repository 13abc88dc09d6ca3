"""The frameworks of this repository, and their tables in model.toml."""

from __future__ import annotations

from pydantic import Field

from shared.frameworks.declaration import (
    ANY_FILE,
    FOLDER,
    Framework,
    Library,
    NetworkActivation,
    Options,
    Precision,
)

_CODE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


class ScikitLearnOptions(Options):
    """Types that a file of skops may contain beside those that skops trusts."""

    trusted: tuple[str, ...] = ()


class OnnxOptions(Options):
    """How a graph's answer for class views is converted."""

    activation: NetworkActivation = "none"


class PythonOptions(Options):
    """The code of a Python model."""

    module: str = Field(
        "model:Model",
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?$",
        description="file:Class beside model.toml, or a file with the functions load and predict",
    )


class PytorchOptions(Options):
    """How a torch network is created, and how its answer is converted."""

    module: str = Field(
        "",
        pattern=rf"^$|{_CODE}",
        description="file:Class of the network beside model.toml; a state_dict needs it",
    )
    arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)
    activation: NetworkActivation = "none"
    precision: Precision = Precision.FLOAT32


_SCIKIT_LEARN = (Library("sklearn", "scikit-learn"), Library("joblib", "joblib"))

_PICKLES = (".joblib", ".pkl", ".pickle")

_ALL = (
    Framework(
        name="scikit-learn",
        implementation="worker.predictors.scikit_learn",
        libraries=_SCIKIT_LEARN,
        install="takt-server[worker]",
        artifacts=(*_PICKLES, ".skops"),
        pickled=_PICKLES,
        options=ScikitLearnOptions,
        names_answers=False,
    ),
    Framework(
        name="pytorch",
        implementation="worker.predictors.pytorch",
        libraries=(Library("torch", "torch"),),
        install="torch",
        artifacts=(".pt", ".pth", ".ts", ".pt2"),
        options=PytorchOptions,
        names_answers=False,
    ),
    Framework(
        name="xgboost",
        implementation="worker.frameworks.xgboost",
        libraries=(Library("xgboost", "xgboost", ("xgboost-cpu",)),),
        install="takt-server[xgboost]",
        artifacts=(".json", ".ubj", *_PICKLES),
        pickled=_PICKLES,
        names_answers=False,
    ),
    Framework(
        name="lightgbm",
        implementation="worker.frameworks.lightgbm",
        libraries=(Library("lightgbm", "lightgbm"),),
        install="takt-server[lightgbm]",
        artifacts=(".txt", *_PICKLES),
        pickled=_PICKLES,
        names_answers=False,
    ),
    Framework(
        name="catboost",
        implementation="worker.frameworks.catboost",
        libraries=(Library("catboost", "catboost"),),
        install="takt-server[catboost]",
        artifacts=(".cbm", *_PICKLES),
        pickled=_PICKLES,
        names_answers=False,
    ),
    Framework(
        name="onnx",
        implementation="worker.frameworks.onnx_models",
        libraries=(Library("onnxruntime", "onnxruntime", ("onnxruntime-gpu",)),),
        install="takt-server[onnx]",
        artifacts=(".onnx",),
        options=OnnxOptions,
    ),
    Framework(
        name="mlflow",
        implementation="worker.frameworks.mlflow",
        libraries=(Library("mlflow", "mlflow", ("mlflow-skinny",)),),
        install="takt-server[mlflow]",
        artifacts=(FOLDER,),
    ),
    Framework(
        name="python",
        implementation="worker.frameworks.python",
        libraries=(),
        install="takt-server[worker]",
        artifacts=(ANY_FILE, FOLDER),
        options=PythonOptions,
    ),
)

BUILTIN = {framework.name: framework for framework in _ALL}
