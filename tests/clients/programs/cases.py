"""The cases of every client: rows of each model, as tensors of the datatypes that the metadata states."""

import base64
import json
import sys

import numpy as np

DTYPES = {"FP64": np.float64, "FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}


def read_cases():
    """The server's address, its key, and for each model its rows as JSON objects."""
    return json.load(sys.stdin)


def array_of(values, datatype, shape):
    """A column of rows in the datatype of an input; null is NaN, and a file is Base64."""
    values = [np.nan if value is None else value for value in values]
    values = [base64.b64decode(v["base64"]) if isinstance(v, dict) else v for v in values]
    if datatype == "BYTES":
        values = [value.encode() if isinstance(value, str) else value for value in values]
    return np.array(values, dtype=DTYPES[datatype]).reshape([len(values), *shape[1:]])


def plain(array):
    """A client's array as JSON: rows of values; texts without their bytes."""
    rows = array.reshape(len(array), -1).tolist()
    return [[value.decode() if isinstance(value, bytes) else value for value in row] for row in rows]


def report(found):
    json.dump(found, sys.stdout)
