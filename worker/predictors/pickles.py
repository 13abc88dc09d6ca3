"""Opens pickled estimators, and says what to do if a pickle cannot be opened here."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

from shared.errors import ArtifactError
from shared.safe_texts import foreign_words

_NO_ATTRIBUTE = re.compile(r"(?:Can't get|has no) attribute '([\w.]+)'")
_MODULE = re.compile(r"<module '([\w.]+)'|module '([\w.]+)'")
_HEADS = {
    b"PK\x03\x04": "a zip file, such as one of torch or skops",
    b"CBM1": "a model of CatBoost",
    b"{": "JSON",
}


def open_pickle(artifact: Path) -> Any:  # Any: scikit-learn has no types
    """The object. Raises ArtifactError if the file is no pickle, or refers to code that is not here; and any
    exception of the code that the pickle runs."""
    import joblib

    try:
        return joblib.load(artifact)
    except ModuleNotFoundError as error:
        raise ArtifactError(_missing_module(error.name or str(error))) from error
    except AttributeError as error:
        if found := _NO_ATTRIBUTE.search(str(error)):
            raise ArtifactError(_missing_class(found.group(1), str(error))) from error
        raise
    except _UNREADABLE as error:
        raise ArtifactError(f"{_unreadable(artifact)} ({foreign_words(error)}): {_ADVICE}") from error


_UNREADABLE = (pickle.UnpicklingError, EOFError, KeyError, IndexError, ValueError, UnicodeDecodeError)
_ADVICE = "copy it again, or save the estimator with joblib.dump"


def _missing_module(module: str) -> str:
    top = module.partition(".")[0]
    return (
        f"the estimator needs the module {module!r}: put {top}.py beside model.toml and build again, or "
        "install the package that has it in the worker's environment"
    )


def _missing_class(name: str, message: str) -> str:
    found = _MODULE.search(message)
    module = next(filter(None, found.groups()), "__main__") if found else "__main__"
    if module.startswith("__m") or module.endswith(".__main__"):  # of a program that `python -m` runs
        return (
            f"the estimator refers to {name!r} of the training script itself: move {name} into a module "
            "beside model.toml, import it in the script, and train again"
        )
    return (
        f"the module {module!r} has no {name!r}, which the estimator refers to: use the {module}.py or the "
        "library version of the training"
    )


def _unreadable(artifact: Path) -> str:
    with artifact.open("rb") as file:
        head = file.read(4)
    looks = next((f", but {what}" for start, what in _HEADS.items() if head.startswith(start)), "")
    return f"{artifact.name} is no complete pickle{looks}"
