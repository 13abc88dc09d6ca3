"""A model of texts gets the texts themselves, not a table of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union

from tests.support.artifacts import array_of, load, version_of
from tests.support.specimens import declaration

TEXTS = ["베어링 소음", "모터가 뜨겁다", "정상 가동", "이상 없음", "ベアリングの音", "حرارة المحرك"] * 4
LABELS = [1, 1, 0, 0, 1, 1] * 4
INPUTS = [{"name": "note", "type": "string", "example": "정상 가동", "nullable": True}]


def texts(*values: str | None) -> dict[str, Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return {"note": column}


def words() -> TfidfVectorizer:
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3))


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(words(), LogisticRegression()),
        make_pipeline("passthrough", words(), LogisticRegression()),
        make_pipeline(make_union(words(), CountVectorizer()), LogisticRegression()),
        GridSearchCV(make_pipeline(words(), LogisticRegression()), {"logisticregression__C": [1.0]}, cv=2),
    ],
    ids=["pipeline", "after passthrough", "union", "search"],
)
def test_a_vectorizer_at_the_front_gets_texts_of_any_script(tmp_path: Path, estimator: Any) -> None:
    estimator.fit(TEXTS, LABELS)
    spec = declaration(
        inputs=INPUTS, classes=["ok", "fault"], outputs=[{"name": "p", "view": "probabilities"}]
    )
    predictor = load(version_of(spec, estimator, tmp_path))
    assert np.array_equal(array_of(predictor, texts(*TEXTS[:6])), estimator.predict_proba(TEXTS[:6]))
    assert np.array_equal(array_of(predictor, texts(None)), estimator.predict_proba([""]))
