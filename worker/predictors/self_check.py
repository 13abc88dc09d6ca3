"""Distinguishes bad rows from a broken model: a predictor that fails its golden rows is broken."""

from __future__ import annotations

from worker.predictors import Predictor


class SickPredictorError(Exception):
    """The predictor fails rows with known answers: the model is broken, and its process must end."""


def check_health(predictor: Predictor) -> None:
    """Raises SickPredictorError if the golden rows fail or their answers are wrong."""
    problem = predictor.golden_problem()
    if problem:
        raise SickPredictorError(f"{predictor.key} fails its golden rows: {problem}")
