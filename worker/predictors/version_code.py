"""The Python modules of a model version: files that its digests cover, private to the version.

Each version is a package of its own, `takt_versions.<model>_<version>`, so two versions with a module of the
same name do not share it. Inside, `import preprocess` and `from .preprocess import …` find the version's own
`preprocess.py`, also if they run during a prediction. An artifact that refers to a class by the name of the
training script's module (`preprocess.MyTransformer`) opens within `VersionCode.importable`.

Modules are compiled from the checked source each time; no `__pycache__` is read or written.
"""

from __future__ import annotations

import builtins
import importlib
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_ROOT = "takt_versions"
_BESIDE = "takt_models"
"""Package of a model's folder during its build, see `worker.predictors.model_code`."""
_SOURCE, _PACKAGE = ".py", "__init__.py"
_lock = threading.RLock()


class VersionCode:
    """The modules of one version. `files`: paths of all files of the version, relative to its folder."""

    def __init__(self, model: str, version: str, folder: Path, files: Sequence[str], root: str = "") -> None:
        """`root`: a further folder of the version whose modules are importable as its own, with `/` at its
        end."""
        name = re.sub(r"\W", "_", f"{model}_{version}")
        self.package = f"{_ROOT}.{name}"
        self._beside = f"{_BESIDE}.{model}."
        self._folder = folder.resolve()
        sources = [name for name in files if name.endswith(_SOURCE)]
        inside = {name.removeprefix(root): name for name in sources if root and name.startswith(root)}
        self._sources = inside | {name: name for name in sources}
        self._tops = {name.partition("/")[0].removesuffix(_SOURCE) for name in self._sources}
        _finder.open(self)

    @property
    def has_modules(self) -> bool:
        return bool(self._sources)

    def has(self, module: str) -> bool:
        """Whether the version has this module, by its name beside the artifact."""
        return module.partition(".")[0] in self._tops

    def import_module(self, module: str) -> ModuleType:
        """Raises ModuleNotFoundError if the version has no such module, and any exception of its code."""
        return importlib.import_module(f"{self.package}.{module}")

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Within the block every import of the process finds the version's modules by their own names.

        Modules of these names that were imported before, also another version's, are put back afterwards.
        """
        with _lock:
            hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if self.own_name(name)}
            aliases = _Aliases(self)
            sys.meta_path.insert(0, aliases)
            try:
                yield
            finally:
                sys.meta_path.remove(aliases)
                for name in [name for name in sys.modules if self.own_name(name)]:
                    del sys.modules[name]
                sys.modules.update(hidden)

    def own_name(self, name: str) -> str:
        """The name of a module as a training script or the model's build.py imported it, relative to the
        version's folder. Empty: it is not of the version. Modules of Python itself are never replaced."""
        module = name.removeprefix(self._beside)
        if module == name and name.partition(".")[0] in sys.stdlib_module_names:
            return ""
        return module if self.has(module) else ""

    def place(self, module: str) -> tuple[Path, bool] | None:
        """The source file of a module, and whether it is a package. None: the version has no such module."""
        path = module.replace(".", "/")
        if package := self._sources.get(f"{path}/{_PACKAGE}"):
            return self._folder / package, True
        module_file = self._sources.get(f"{path}{_SOURCE}")
        return (self._folder / module_file, False) if module_file else None

    @property
    def folder(self) -> Path:
        return self._folder

    def import_inside(
        self,
        name: str,
        namespace: Mapping[str, object] | None = None,
        local: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """`__import__` of the version's modules: they find each other by their own names."""
        if level or not self.has(name) or not self.own_name(name):
            return builtins.__import__(name, namespace, local, fromlist or (), level)
        if fromlist:
            return builtins.__import__(f"{self.package}.{name}", namespace, local, fromlist, 0)
        self.import_module(name)
        return sys.modules[f"{self.package}.{name.partition('.')[0]}"]


class _Source(SourceFileLoader):
    """Compiles the source, and gives the module the version's `__import__`."""

    def __init__(self, name: str, path: str, code: VersionCode) -> None:
        super().__init__(name, path)
        self._import: Callable[..., ModuleType] = code.import_inside

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        compiled: CodeType = self.source_to_code(self.get_data(path), path)
        return compiled

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = vars(builtins) | {"__import__": self._import}
        super().exec_module(module)


class _Versions(MetaPathFinder):
    """Finds the packages of versions and their modules."""

    def __init__(self) -> None:
        self._open: dict[str, VersionCode] = {}

    def open(self, code: VersionCode) -> None:
        """The same version from another folder replaces an earlier one, as does one with other files."""
        before = self._open.get(code.package)
        if before is None or before.folder != code.folder:
            _forget(code.package)
        self._open[code.package] = code

    def find_spec(
        self, fullname: str, _path: object = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == _ROOT or fullname in self._open:
            return ModuleSpec(fullname, None, is_package=True)
        package = ".".join(fullname.split(".")[:2])
        code = self._open.get(package)
        if code is None or (found := code.place(fullname[len(package) + 1 :])) is None:
            return None
        source, is_package = found
        return spec_from_file_location(
            fullname,
            source,
            loader=_Source(fullname, str(source), code),
            submodule_search_locations=[str(source.parent)] if is_package else None,
        )


class _Aliases(MetaPathFinder, Loader):
    """Makes a version's modules importable by the names of the training script."""

    def __init__(self, code: VersionCode) -> None:
        self._code = code
        self._specs: dict[str, Any] = {}  # Any: a module may have any spec

    def find_spec(
        self, fullname: str, _path: object = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        module = self._code.own_name(fullname)
        if not module or self._code.place(module) is None:
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = self._code.import_module(self._code.own_name(spec.name))
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = self._specs.pop(module.__spec__.name)  # importlib has put the alias's in its place


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


_finder = _Versions()
sys.meta_path.insert(0, _finder)
