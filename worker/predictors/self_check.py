"""Is it the row or the model? A predictor that fails its golden rows is sick, and then no row is to blame."""

from __future__ import annotations

from worker.predictors import Predictor


class SickPredictorError(Exception):
    """A predictor fails on rows whose answer is known: no row is to blame, and its process must end."""


def check_health(predictor: Predictor) -> None:
    """Raises SickPredictorError where the golden rows are answered wrongly, or not at all."""
    problem = predictor.golden_problem()
    if problem:
        raise SickPredictorError(f"{predictor.key} fails its golden rows: {problem}")
