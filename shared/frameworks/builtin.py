"""The frameworks of this repository, and their tables in model.toml."""

from __future__ import annotations

from pydantic import Field

from shared.frameworks.declaration import Framework, Library, NetworkActivation, Options, Precision

_CODE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


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
        artifacts=_PICKLES,
        pickled=_PICKLES,
        names_answers=False,
    ),
    Framework(
        name="pytorch",
        implementation="worker.predictors.pytorch",
        libraries=(Library("torch", "torch"),),
        install="torch",
        artifacts=(".pt", ".pth", ".bin"),
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
)

BUILTIN = {framework.name: framework for framework in _ALL}
