"""Runs `python -m worker` with the interpreter of an environment: `PYTHON launch.py COMMAND …`.

The environment holds no copy of Takt. Only the packages `shared` and `worker` are taken from the folder of
this file, and nothing beside them, so that no library of another environment is imported.
"""

import runpy
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_PACKAGES = ("shared", "worker")


def _import_from(folder: Path, package: str) -> None:
    home = folder / package
    spec = spec_from_file_location(package, home / "__init__.py", submodule_search_locations=[str(home)])
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[package] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    here = Path(__file__).resolve()
    if sys.path and Path(sys.path[0]).resolve() == here.parent:
        del sys.path[0]
    for name in _PACKAGES:
        _import_from(here.parents[2], name)
    runpy.run_module("worker", run_name="__main__", alter_sys=True)
