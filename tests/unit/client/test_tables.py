"""Results as DataFrames: no value changes, even if others of its column are missing."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from takt.decoding import frame_of


def test_missing_values_change_no_integer_and_no_bool() -> None:
    large = 2**60 + 1
    table = pa.table(
        {
            "whole": pa.array([large, 1], pa.int64()),
            "some": pa.array([large, None], pa.int64()),
            "small": pa.array([255, None], pa.uint8()),
            "flag": pa.array([True, None], pa.bool_()),
            "flags": pa.array([True, False], pa.bool_()),
            "ratio": pa.array([0.1, None], pa.float32()),
            "text": pa.array(["가", None], pa.string()),
        }
    )
    frame = frame_of(table)
    dtypes = {"whole": "int64", "some": "Int64", "small": "UInt8", "flag": "boolean", "flags": "bool"}
    assert {name: str(frame[name].dtype) for name in dtypes} == dtypes
    assert frame["ratio"].dtype == "float32"
    assert frame["some"].tolist() == [large, pd.NA]
    assert frame["whole"].tolist() == [large, 1]
    assert frame["text"].tolist()[0] == "가"
