"""Opens files of skops, which hold an estimator without pickle: only types that are known or trusted.

https://skops.readthedocs.io/en/stable/persistence.html
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.errors import ArtifactError
from shared.frameworks.builtin import ScikitLearnOptions
from shared.safe_texts import first_of
from worker.predictors.implementation import MadeBy

SUFFIX = ".skops"
TRUST = 'list them in model.toml: [scikit-learn] trusted = ["…"]'
_SCHEMA = "schema.json"


def open_skops(artifact: Path, options: ScikitLearnOptions, remedy: str = TRUST) -> Any:
    """The estimator (Any: scikit-learn has no types). `remedy`: how types are trusted.

    Raises ArtifactError if skops is missing, or if the file has types that it does not trust.
    """
    try:
        import skops.io
    except ImportError as error:
        raise ArtifactError(f"{artifact.name} needs skops: pip install 'takt-server[skops]'") from error
    _schema(artifact)
    strange = sorted(set(skops.io.get_untrusted_types(file=artifact)) - set(options.trusted))
    if strange:
        raise ArtifactError(
            f"{artifact.name} has types that skops does not trust: {first_of(strange)}; check them, and "
            f"{remedy}"
        )
    return skops.io.load(artifact, trusted=list(options.trusted))


def made_by_skops(artifact: Path) -> MadeBy:
    """The versions of skops and scikit-learn, which the file records."""
    try:
        schema = _schema(artifact)
    except ArtifactError:
        return MadeBy()
    versions = sorted({str(value) for value in _sklearn_versions(schema)})
    made = {"scikit-learn": ", ".join(versions)} if versions else {}
    return MadeBy(made, {"skops": str(schema.get("_skops_version", "unknown"))})


def _schema(artifact: Path) -> dict[str, Any]:  # Any: JSON
    try:
        with zipfile.ZipFile(artifact) as archive:
            schema: dict[str, Any] = json.loads(archive.read(_SCHEMA))
            return schema
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise ArtifactError(
            f"{artifact.name} is no file of skops: save it with skops.io.dump(estimator, 'model.skops')"
        ) from error


def _sklearn_versions(node: Any) -> Iterator[object]:
    """The values of `_sklearn_version` in the states of estimators."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "_sklearn_version":
                yield from _contents(value)
            else:
                yield from _sklearn_versions(value)
    elif isinstance(node, list):
        for value in node:
            yield from _sklearn_versions(value)


def _contents(node: Any) -> Iterator[object]:
    """The value of a JSON node of skops, which is written as JSON text."""
    content = node.get("content") if isinstance(node, dict) else node
    if isinstance(content, str):
        yield content.strip('"')
