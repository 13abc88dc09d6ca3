"""Opens pickled estimators, and says what to do if a pickle cannot be opened here."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.errors import ArtifactError
from shared.safe_texts import first_of, foreign_words

BESIDE = "put {file} beside model.toml and build again"
"""How a module of the model's own is given to it."""
NEEDS_CUDA = re.compile(r"\bCUDA\b|\bNVIDIA\b|\bcuda:\d")
"""In the message of an error on a machine without a GPU."""
ON_CPU = "move the model to the CPU, network.cpu(), and save or export it again"
_NO_ATTRIBUTE = re.compile(r"(?:Can't get|has no) attribute '([\w.]+)'")
_MODULE = re.compile(r"<module '([\w.]+)'|module '([\w.]+)'")
_OF_VERSION = re.compile(r"^takt_versions\.\w+\.")
"""Before the name of a module of the version."""
_UNREADABLE = (pickle.UnpicklingError, EOFError, KeyError, IndexError, ValueError, struct.error)
_ADVICE = "copy it again, or save the estimator with joblib.dump"


def open_pickle(artifact: Path, remedy: str = BESIDE) -> Any:  # Any: scikit-learn has no types
    """The object. `remedy`: how a missing module is given, with `{file}` for its name.

    Raises ArtifactError if the file is no pickle, or refers to code that is not here.
    """
    import joblib

    try:
        return joblib.load(artifact)
    except Exception as error:  # a pickle runs code, which may raise anything
        raise explained(artifact.name, error, remedy) from error


def explained(name: str, error: Exception, remedy: str = BESIDE) -> ArtifactError:
    """The error for a file or folder `name` whose pickle cannot be opened."""
    if isinstance(error, ModuleNotFoundError):
        return ArtifactError(_missing_module(name, error.name or str(error), remedy))
    if isinstance(error, AttributeError) and (found := _NO_ATTRIBUTE.search(str(error))):
        return ArtifactError(_missing_class(name, found.group(1), str(error), remedy))
    if NEEDS_CUDA.search(str(error)):
        return ArtifactError(f"{name} was saved on CUDA, and this machine has none: {ON_CPU}")
    if isinstance(error, _UNREADABLE):
        return ArtifactError(f"{name} is no complete pickle: {_ADVICE}")
    return ArtifactError(
        f"{name} cannot be opened here ({type(error).__name__}: {foreign_words(error)}): install the library "
        "versions that saved it, for example with [environment] in model.toml, or save it again"
    )


def check_estimator(estimator: Any) -> None:
    """Raises ArtifactError if the object is no fitted estimator, with what to save in its place."""
    if isinstance(estimator, type):
        raise ArtifactError(
            f"the file holds the class {estimator.__name__} itself, no fitted estimator: save the object "
            "that fit returns"
        )
    # get_params: an estimator of scikit-learn's kind, of which an output may name any method
    is_estimator = hasattr(estimator, "predict") or hasattr(estimator, "get_params")
    if not is_estimator:
        raise ArtifactError(
            f"the file holds {_kind_of(estimator)}, which has no predict: {_what_to_save(estimator)}"
        )
    if _is_unfitted(estimator):
        raise ArtifactError(
            f"the {type(estimator).__name__} is not fitted: save it with joblib.dump after fit"
        )


def _kind_of(found: Any) -> str:
    if isinstance(found, Mapping):
        return f"a {type(found).__name__} with {first_of(list(found), 4)}"
    return f"a {type(found).__name__}"


def _what_to_save(found: Any) -> str:
    parts = (
        found.items()
        if isinstance(found, Mapping)
        else enumerate(found)
        if isinstance(found, list | tuple)
        else ()
    )
    place = next((place for place, part in parts if hasattr(part, "predict")), None)
    if place is not None:
        return f"save the estimator in it alone, joblib.dump(found[{place!r}], 'model.joblib')"
    return "save the fitted estimator or Pipeline with joblib.dump"


def _is_unfitted(estimator: Any) -> bool:
    """Whether an estimator of scikit-learn reports that itself; others may store their state elsewhere."""
    steps = getattr(estimator, "steps", None)
    last = steps[-1][1] if steps else estimator
    if not type(last).__module__.startswith("sklearn."):
        return False
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return True
    except Exception:  # it is no estimator in the sense of scikit-learn
        return False
    return False


def _missing_module(name: str, module: str, remedy: str) -> str:
    top = module.partition(".")[0]
    return (
        f"{name} needs the module {module!r}: {remedy.format(file=f'{top}.py')}, or install the "
        "package that has it in the worker's environment"
    )


def _missing_class(file: str, name: str, message: str, remedy: str) -> str:
    found = _MODULE.search(message)
    module = next(filter(None, found.groups()), "__main__") if found else "__main__"
    if module.startswith("__m") or module.endswith(".__main__"):  # of a program that `python -m` runs
        return (
            f"{file} refers to {name!r} of the training script itself: move {name} into a module, "
            f"import it in the script, train again, and {remedy.format(file='that module')}"
        )
    module = _OF_VERSION.sub("", module)
    return (
        f"{file} refers to {name!r} of the module {module!r}, which has none: use the {module}.py "
        "or the library version of the training"
    )
