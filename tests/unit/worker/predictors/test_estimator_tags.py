"""Kind and input of an estimator, of this scikit-learn and of those before 1.6."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

from worker.predictors.estimator_input import estimator_type, takes_texts


class _Earlier:
    """An estimator with the tags of scikit-learn 1.5."""

    def __init__(self, *inputs: str, kind: str | None = None) -> None:
        self._inputs = list(inputs)
        if kind:
            self._estimator_type = kind

    def _get_tags(self) -> dict[str, Any]:
        return {"X_types": self._inputs}


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (TfidfVectorizer(), True),
        (StandardScaler(), False),
        (_Earlier("string"), True),
        (_Earlier("2darray", "string"), False),
        (object(), False),
    ],
)
def test_a_vectorizer_takes_texts(estimator: object, expected: bool) -> None:
    assert takes_texts(estimator) is expected


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (IsolationForest(), "outlier_detector"),
        (KMeans(), "clusterer"),
        (StandardScaler(), None),
        (_Earlier(kind="outlier_detector"), "outlier_detector"),
        (_Earlier(), None),
    ],
)
def test_the_kind_of_an_estimator_is_found(estimator: object, expected: str | None) -> None:
    assert estimator_type(estimator) == expected
