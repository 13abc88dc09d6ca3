"""Model declarations for tests, and matching rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import strategies as st

from shared.columns import Array
from shared.specs import ModelSpec, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXAMPLES: dict[str, Any] = {
    "float": 1.5,
    "float32": 0.25,
    "int64": 7,
    "bool": True,
    "string": "A-1",
    "datetime": datetime(2026, 3, 2, 6, 30, tzinfo=UTC),
}


def every_type() -> ModelSpec:
    """A regression with an input of each type, required and nullable, and a tensor."""
    plain = [{"name": f"a_{kind}", "type": kind, "example": example} for kind, example in _EXAMPLES.items()]
    nullable = [{"name": f"maybe_{kind}", "type": kind, "nullable": True} for kind in _EXAMPLES]
    tensor = {"name": "tensor", "type": "float32", "shape": [2, 3], "example": [[0, 1, 2], [3, 4, 5]]}
    return declaration(inputs=[*plain, *nullable, tensor])


def declaration(**changes: Any) -> ModelSpec:
    """A small scikit-learn regression, with some keys changed."""
    document: dict[str, Any] = {
        "name": "specimen",
        "framework": "scikit-learn",
        "default_version": "1.0.0",
        "inputs": [{"name": "x", "type": "float", "example": 1.0}],
        "outputs": [{"name": "y", "view": "value"}],
    }
    return ModelSpec.model_validate(document | changes)


def classifier(**changes: Any) -> ModelSpec:
    """Three classes, with every view of classes."""
    views = [{"name": view, "view": view} for view in ("label", "class_index", "confidence", "probabilities")]
    return declaration(**({"classes": ["low", "middle", "high"], "outputs": views} | changes))


def rows_of_every_type() -> st.SearchStrategy[list[Row]]:
    """Rows of `every_type`, 1 to 8 of them."""
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "float32": st.floats(width=32, allow_nan=False, allow_infinity=False),
        "int64": st.integers(-(2**63), 2**63 - 1),
        "bool": st.booleans(),
        "string": st.text(max_size=8),
        "datetime": st.integers(-(2**53), 2**53).map(lambda us: _EPOCH + timedelta(microseconds=us)),
    }
    fields = {f"a_{kind}": values for kind, values in kinds.items()}
    fields |= {f"maybe_{kind}": st.none() | values for kind, values in kinds.items()}
    three = st.lists(kinds["float32"], min_size=3, max_size=3)
    fields["tensor"] = st.lists(three, min_size=2, max_size=2)
    return st.lists(st.fixed_dictionaries(fields), min_size=1, max_size=8)


def same(one: Array, other: Array) -> bool:
    """Equal in dtype, shape and every value; missing values equal each other."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return list(one) == list(other) if one.dtype == object else np.array_equal(one, other, equal_nan=True)
