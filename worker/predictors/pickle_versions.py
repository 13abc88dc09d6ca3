"""Reads the library versions that made a pickled artifact from its bytes, without running its code.

scikit-learn writes its version into the state of each estimator. The reader replaces every class of the
pickle with an inert class, and skips the arrays that joblib writes between the opcodes.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

import structlog

log = structlog.get_logger()

_SKLEARN_VERSION = "_sklearn_version"
_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_PIECE_BYTES = 2**20


@dataclass
class PickledBy:
    """The origin of a pickle."""

    sklearn: set[str] = field(default_factory=set)  # versions of scikit-learn in its estimators' states
    modules: set[str] = field(default_factory=set)  # top-level modules of its classes


def pickled_by(artifact: Path) -> PickledBy:
    """The origin of the artifact; empty if it is not a readable pickle or joblib file."""
    try:
        with _opened(artifact) as file:
            reader = _Reader(file, PickledBy())
            reader.load()
            return reader.found
    except Exception as error:  # a damaged or foreign file may raise anything here
        log.info("artifact_origin_unknown", artifact=artifact.name, reason=f"{type(error).__name__}: {error}")
        return PickledBy()


@contextmanager
def _opened(artifact: Path) -> Iterator[IO[bytes]]:
    """The pickle stream, decompressed if joblib compressed it."""
    from joblib.compressor import _COMPRESSORS
    from joblib.numpy_pickle_utils import _detect_compressor

    with artifact.open("rb") as file:
        name = _detect_compressor(file)
        if name not in _COMPRESSORS:
            yield file
            return
        with _COMPRESSORS[name].decompressor_file(file) as unpacked:
            yield unpacked


class _Inert:
    """Replaces any class or function of a pickle. It keeps the state and does nothing."""

    found: PickledBy
    state: Any = None

    def __new__(cls, *_args: object, **_options: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_args: object, **_options: object) -> None:
        """Accepts the arguments of any class."""

    def __setstate__(self, state: Any) -> None:  # Any: pickled content
        self.state = state
        parts = state if isinstance(state, tuple) else (state,)
        said = [part.get(_SKLEARN_VERSION) for part in parts if isinstance(part, dict)]
        self.found.sklearn.update(version for version in said if isinstance(version, str))

    def __call__(self, *_args: object, **_options: object) -> _Inert:
        return self

    def __setitem__(self, _key: object, _value: object) -> None:
        """Called for pickled subclasses of dict."""

    def append(self, _value: object) -> None:
        """Called for pickled subclasses of list."""

    def extend(self, _values: object) -> None:
        """Called for pickled subclasses of list."""

    def add(self, _value: object) -> None:
        """Called for pickled subclasses of set."""


class _Wrapper(_Inert):
    """joblib's header of an array; the array's bytes follow in the file."""


_Unpickler: Any = pickle._Unpickler
"""The Python implementation, which can be extended. Any: its methods are not typed."""


class _Reader(_Unpickler):  # type: ignore[misc]  # Any, see above
    dispatch: ClassVar[dict[int, Any]] = dict(_Unpickler.dispatch)

    def __init__(self, file: IO[bytes], found: PickledBy) -> None:
        super().__init__(file)
        self.found = found
        self._file = file

    def find_class(self, module: str, name: str) -> Any:
        self.found.modules.add(module.partition(".")[0])
        if (module, name) == ("numpy", "dtype"):
            import numpy as np

            return np.dtype  # gives the number of bytes of an array
        kind = _Wrapper if (module, name) == _WRAPPER else _Inert
        return type(name, (kind,), {"found": self.found})

    def load_build(self) -> None:
        super().load_build()
        array = self.stack[-1]
        if isinstance(array, _Wrapper):
            self._skip(array.state)

    dispatch[pickle.BUILD[0]] = load_build

    def _skip(self, array: dict[str, Any]) -> None:
        if array["dtype"].hasobject:
            _Reader(self._file, self.found).load()  # a nested pickle
            return
        if array.get("numpy_array_alignment_bytes") is not None:
            self._file.read(self._file.read(1)[0])
        left_bytes = math.prod(array["shape"]) * array["dtype"].itemsize
        while left_bytes > 0:
            piece = self._file.read(min(left_bytes, _PIECE_BYTES))
            if not piece:
                raise EOFError("an array ends too early")
            left_bytes -= len(piece)
