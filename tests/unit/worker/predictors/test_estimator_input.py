"""An estimator gets the form of input that it was fitted on: a DataFrame or an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from shared.errors import ArtifactError
from tests.support import ai4i
from tests.support.artifacts import array_of, load, version_of
from tests.support.specimens import declaration

RNG = np.random.default_rng(3)
FRAME = pd.DataFrame(RNG.normal(size=(40, 2)), columns=["a", "b"])
TARGET = 2 * FRAME["a"] - FRAME["b"] + 0.1
INPUTS = [{"name": name, "type": "float", "example": 0.5} for name in ("a", "b")]


class Ratio(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """Reads columns by name and returns an array, so that later steps were fitted without names."""

    def fit(self, rows: Any, target: Any = None) -> Ratio:
        self.fitted_ = True
        return self

    def transform(self, rows: Any) -> Any:
        return np.stack([rows["a"] - rows["b"], rows["b"]], axis=1)


class AddSum(Ratio):
    """Returns a DataFrame, so that later steps were fitted with names."""

    def transform(self, rows: Any) -> Any:
        return rows.assign(total=rows["a"] + rows["b"])


class ByPosition(Ratio):
    """Reads columns by position: it was fitted on an array."""

    def transform(self, rows: Any) -> Any:
        return np.stack([rows[:, 0] - rows[:, 1], rows[:, 1]], axis=1)


def columns_by_name() -> ColumnTransformer:
    return ColumnTransformer([("scaled", StandardScaler(), ["a"]), ("kept", "passthrough", ["b"])])


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(Ratio(), LinearRegression()),
        make_pipeline(AddSum(), StandardScaler(), LinearRegression()),
        make_pipeline(AddSum(), columns_by_name(), Ridge()),
        make_pipeline(columns_by_name(), LinearRegression()),
        Pipeline([("none", "passthrough"), ("columns", columns_by_name()), ("line", Ridge())]),
        make_pipeline(FunctionTransformer(np.negative), LinearRegression()),
        make_pipeline(FeatureUnion([("ratio", Ratio()), ("sum", AddSum())]), Ridge()),
        GridSearchCV(make_pipeline(Ratio(), Ridge()), {"ridge__alpha": [0.1, 1.0]}, cv=2),
        make_pipeline(make_pipeline(AddSum(), StandardScaler()), Ridge()),
    ],
    ids=lambda one: " ".join(str(one).split())[:60],
)
def test_an_estimator_fitted_on_a_dataframe_is_given_a_dataframe(tmp_path: Path, estimator: Any) -> None:
    estimator.fit(FRAME, TARGET)
    predictor = load(version_of(declaration(inputs=INPUTS), estimator, tmp_path))
    columns = {name: FRAME[name].to_numpy() for name in ("a", "b")}
    assert array_of(predictor, columns).tolist() == estimator.predict(FRAME).tolist()


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(ByPosition(), LinearRegression()),
        make_pipeline(StandardScaler(), LinearRegression()),
        LinearRegression(),
    ],
    ids=lambda one: " ".join(str(one).split())[:60],
)
def test_an_estimator_fitted_on_an_array_is_given_an_array(tmp_path: Path, estimator: Any) -> None:
    estimator.fit(FRAME.to_numpy(), TARGET)
    predictor = load(version_of(declaration(inputs=INPUTS), estimator, tmp_path))
    columns = {name: FRAME[name].to_numpy() for name in ("a", "b")}
    assert array_of(predictor, columns).tolist() == pytest.approx(
        estimator.predict(FRAME.to_numpy()).tolist()
    )


class Either(Ratio):
    """Accepts both forms, with different results."""

    def transform(self, rows: Any) -> Any:
        is_frame = isinstance(rows, pd.DataFrame)
        return np.asarray(rows) * (1.0 if is_frame else -1.0)


@pytest.mark.parametrize(("given", "sign"), [("dataframe", 1.0), ("array", -1.0)])
def test_model_toml_decides_where_nothing_that_was_fitted_does(
    tmp_path: Path, given: str, sign: float
) -> None:
    estimator = make_pipeline(Either(), LinearRegression()).fit(FRAME, TARGET)
    spec = declaration(inputs=INPUTS, estimator_input=given)
    predictor = load(version_of(spec, estimator, tmp_path))
    columns = {name: FRAME[name].to_numpy() for name in ("a", "b")}
    expected = estimator[-1].predict(FRAME.to_numpy() * sign)
    assert array_of(predictor, columns).tolist() == pytest.approx(expected.tolist())


def test_an_estimator_gets_its_own_columns_whatever_the_inputs_are_called(tmp_path: Path) -> None:
    rows = ai4i.table(400).rename(columns={"Torque [Nm]": "Torque\n[Nm]"})
    columns = ColumnTransformer(
        [("kind", OneHotEncoder(), ["Type"]), ("rest", StandardScaler(), ["Torque\n[Nm]", "Tool wear [min]"])]
    )
    estimator = make_pipeline(columns, LinearRegression()).fit(rows.drop(columns="UDI"), rows["UDI"])
    inputs = [
        {"name": "종류", "column": "Type", "type": "string", "example": "L"},
        {"name": "Tool wear [min]", "type": "int64", "example": 1},
        {"name": "Torque [Nm]", "column": "Torque\n[Nm]", "type": "float", "example": 1},
    ]
    others = [
        {"name": name, "type": "string" if name == "Product ID" else "float", "example": 1}
        for name in estimator.feature_names_in_
        if name not in ("Type", "Tool wear [min]", "Torque\n[Nm]", "Product ID")
    ]
    product = {"name": "Product ID", "type": "string", "example": "L1"}
    spec = declaration(inputs=[*inputs, *others, product])
    predictor = load(version_of(spec, estimator, tmp_path))
    given = {field.name: rows[field.column_name].to_numpy() for field in spec.inputs}
    expected = estimator.predict(rows.drop(columns="UDI"))
    assert array_of(predictor, given).tolist() == expected.tolist()


class Booster(LinearRegression):  # type: ignore[misc]  # sklearn has no types
    """Names the columns of an array, as LightGBM and XGBoost do."""

    def name(self, *names: str) -> Booster:
        self.feature_names_in_ = np.array(names)
        return self

    def predict(self, rows: Any) -> Any:
        return np.asarray(rows) @ self.coef_ + self.intercept_


@pytest.mark.parametrize("names", [("Column_0", "Column_1"), ("f0", "f1"), ("x0", "x1")])
def test_names_that_a_library_made_up_are_positions(tmp_path: Path, names: tuple[str, ...]) -> None:
    model = Booster().fit(FRAME.to_numpy(), TARGET)
    predictor = load(version_of(declaration(inputs=INPUTS), model.name(*names), tmp_path))
    columns = {name: FRAME[name].to_numpy() for name in ("a", "b")}
    assert array_of(predictor, columns).tolist() == pytest.approx(TARGET.tolist())


@pytest.mark.parametrize("names", [("Column_0",), ("Column_1", "Column_0"), ("a", "Column_1"), ("a", "c")])
def test_names_that_are_no_positions_are_refused_still(tmp_path: Path, names: tuple[str, ...]) -> None:
    model = Booster().fit(FRAME.to_numpy(), TARGET)
    with pytest.raises(ArtifactError, match="which is no input of the spec"):
        load(version_of(declaration(inputs=INPUTS), model.name(*names), tmp_path))
