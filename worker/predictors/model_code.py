"""Python code in a model's folder: its build.py, and the modules that it imports.

A built version has its own copy of the modules, see `worker.predictors.version_code`. A version that an older
Takt built uses those of the model's folder.

A model's folder is imported as the package `takt_models.<name>`, wherever the repository lies and without
changing sys.path. Its modules may import each other (`from .network import …`), and an artifact that refers
to one of them finds it if the folder was opened first.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType

from shared.errors import ArtifactError

BUILDER = "build.py"
_ROOT = "takt_models"


def import_beside(folder: Path, module: str) -> ModuleType:
    """Import a module of a model's folder. Raises any exception of the import."""
    return importlib.import_module(f"{open_folder(folder)}.{module}")


def open_folder(folder: Path) -> str:
    """Make a model's folder importable. → the name of its package."""
    name = f"{_ROOT}.{folder.name}"
    _package(_ROOT, [])
    path = [str(folder.resolve())]
    if name in sys.modules and list(sys.modules[name].__path__) != path:
        _forget(name)  # the same model name from another repository
    _package(name, path)
    return name


def imported_by(folder: Path) -> set[str]:
    """The top-level modules that the Python files of a model's folder import, as far as they say so."""
    trees = [_parsed(path) for path in folder.glob("*.py")]
    names = [name for tree in trees for node in ast.walk(tree) for name in _imported(node)]
    return {name.partition(".")[0] for name in names}


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ArtifactError(f"{path}: is no Python ({line}{reason}): correct it") from error


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


def _package(name: str, path: list[str]) -> None:
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = path
        sys.modules[name] = package


def _forget(name: str) -> None:
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[module]
