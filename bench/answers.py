"""The one row that is sent, and the answer that is right for it, whoever gives it."""

from __future__ import annotations

import json
from dataclasses import dataclass

ROW = {"sepal_length": 6.7, "sepal_width": 3.0, "petal_length": 5.2, "petal_width": 2.3}
"""The guide's second flower; no rival may answer it without the model."""


@dataclass(frozen=True)
class Answer:
    """What a rival says of one row."""

    label: str
    confidence: float


RIGHT = Answer("virginica", 1.0)
TOLERANCE = 0.03
"""Another release of scikit-learn may grow slightly other trees: see models/iris/model.toml."""


def is_right(answer: Answer) -> bool:
    return answer.label == RIGHT.label and abs(answer.confidence - RIGHT.confidence) <= TOLERANCE


def guide_answer(body: bytes) -> Answer:
    """An answer in the guide's shape. Raises ValueError."""
    try:
        fields = json.loads(body)
        return Answer(str(fields["prediction"]), float(fields["confidence"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an answer in the guide's shape: {error!r}") from error
