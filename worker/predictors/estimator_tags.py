"""Kind and input of an estimator, by its tags. scikit-learn before 1.6 has them in another form."""

from __future__ import annotations

from typing import Any


def estimator_type(estimator: Any) -> str | None:  # Any: sklearn has no types
    """`classifier`, `regressor`, `outlier_detector`, `clusterer` or None."""
    try:
        from sklearn.utils import get_tags

        found: str | None = get_tags(estimator).estimator_type
    except Exception:  # before 1.6, or an estimator that is not derived from scikit-learn's
        found = None
    return found or getattr(estimator, "_estimator_type", None)


def takes_texts(estimator: Any) -> bool:
    """Whether it takes a list of texts, as a vectorizer does, and no table."""
    if hasattr(estimator, "__sklearn_tags__"):
        tags = estimator.__sklearn_tags__().input_tags
        return bool(tags.string and not tags.two_d_array)
    if hasattr(estimator, "_get_tags"):
        kinds = estimator._get_tags()["X_types"]
        return "string" in kinds and "2darray" not in kinds
    return False
