"""Opens ONNX files with ONNX Runtime. Errors contain the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from shared.errors import ArtifactError
from shared.safe_texts import foreign_words
from worker.predictors.onnx_header import NotOnnxError, read_header

_ERRORS_ONLY = 3
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def open_session(path: Path, providers: Sequence[Any] = (CPU,), threads: int = 1) -> Any:
    """An inference session (Any: onnxruntime has no types).

    Raises ArtifactError if the file is no ONNX model, or if this ONNX Runtime cannot compute it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        read_header(path)
        return onnxruntime.InferenceSession(path, options, providers=list(providers))
    except (NotOnnxError, OSError) as error:
        raise ArtifactError(
            f"{path.name} is no complete ONNX model ({error}): copy it again, or export it again"
        ) from error
    except Exception as error:  # ONNX Runtime raises many types
        raise ArtifactError(f"{path.name} {_problem(error)}") from error


def _problem(error: Exception) -> str:
    for pattern, problem in _PROBLEMS:
        if found := pattern.search(str(error)):
            return problem(found)
    return (
        f"cannot be opened by this onnxruntime ({foreign_words(error)}): export it again, or update "
        "onnxruntime"
    )


def _of_external_data(found: re.Match[str]) -> str:
    name = Path(found[1]).name
    return f"keeps its weights in the file {name!r}, which is not beside it: put both into one folder"


def _of_opset(found: re.Match[str]) -> str:
    return (
        f"has the operators of opset {found[1]}, and this onnxruntime has those up to {found[2]}: export it "
        f"with opset_version={found[2]}, or update onnxruntime"
    )


def _of_ir_version(found: re.Match[str]) -> str:
    return (
        f"has the ONNX format {found[1]}, and this onnxruntime reads those up to {found[2]}: export it with "
        "an older release of onnx, or update onnxruntime"
    )


def _of_operator(found: re.Match[str]) -> str:
    return (
        f"uses the operator {found[1]}, which this onnxruntime does not have: export the network without it, "
        "or update onnxruntime"
    )


def _of_damage(_found: re.Match[str]) -> str:
    return "is cut off or damaged: copy it again, or export it again"


_PROBLEMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"External data path does not exist: \"?([^\"\s]+)"), _of_external_data),
    (re.compile(r"Opset (\d+) is under development.*till opset (\d+)", re.DOTALL), _of_opset),
    (re.compile(r"IR version: (\d+), max supported IR version: (\d+)"), _of_ir_version),
    (re.compile(r"([\w.:]+)\(-?\d+\) is not a registered function/op"), _of_operator),
    (re.compile(r"No Op registered for (\w+)"), _of_operator),
    (re.compile(r"[Pp]rotobuf parsing failed|out of bounds|can not be read in whole"), _of_damage),
)
