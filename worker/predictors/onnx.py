"""ONNX Runtime as a kernel for scikit-learn's estimators, if the model declares a tolerance.

It computes in float32, so its answers differ from the native model's in some bits. If features lie close to a
tree's threshold, they may differ widely; the comparison at load detects that, and the model stays native.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from shared.columns import Array
from worker.predictors.compiled.kernels import Kernel, NotCompiledError, all_finite

ONNX = "onnx"
_ERRORS_ONLY = 3


def onnx_kernel(estimator: Any, *, probabilities: bool, threads: int) -> Kernel:
    """A kernel for a fitted estimator. Raises NotCompiledError if it cannot be converted. (Any: no types.)"""
    try:
        import onnxruntime
        import skl2onnx
    except ImportError as error:
        raise NotCompiledError(f"onnx: {error.name} is not installed, see the extra `onnx`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(
        _converted(skl2onnx, estimator), options, providers=["CPUExecutionProvider"]
    )
    return _Session(session, probabilities)


def _converted(skl2onnx: Any, estimator: Any) -> bytes:
    """Any: the module has no types."""
    row = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
    plain = {id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter warns about its own dependencies
            model: bytes = skl2onnx.to_onnx(estimator, row, options=plain).SerializeToString()
    except Exception as error:  # the converter and its dependencies raise many types
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NotCompiledError(f"onnx: not converted: {reason[:200]}") from error
    return model


class _Session:
    def __init__(self, session: Any, probabilities: bool) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        outputs = [output.name for output in session.get_outputs()]
        self._output = outputs[-1] if probabilities else outputs[0]
        self._is_value = not probabilities

    def __call__(self, rows: Array) -> Array | None:
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(rows, dtype=np.float32)
        if not all_finite(values):
            return None
        (answer,) = self._session.run([self._output], {self._input: values})
        found: Array = answer.astype(np.float64)
        return found[:, 0] if self._is_value and found.ndim == 2 and found.shape[1] == 1 else found
