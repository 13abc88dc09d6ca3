"""Modules beside a model: private to the version, importable by the names of the training script."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path

import pytest

from worker.predictors.model_code import open_folder
from worker.predictors.version_code import VersionCode

PREPROCESS = """
from scaling import FACTOR

class Scaled:
    def __init__(self, value):
        self.value = value

    def __call__(self):
        import units  # during a prediction
        return self.value * FACTOR, units.UNIT
"""


def code_in(folder: Path, model: str = "one", *, factor: int = 2, version: str = "1.0.0") -> VersionCode:
    folder.mkdir(parents=True, exist_ok=True)
    sources = {
        "preprocess.py": PREPROCESS,
        "scaling.py": f"FACTOR = {factor}\n",
        "units.py": f"UNIT = 'unit of {model}'\n",
        "parts/__init__.py": "from .inner import WORD\nfrom . import inner\n",
        "parts/inner.py": "WORD = 'inner'\n",
        "json.py": "raise RuntimeError('never imported in place of Python\\'s own')\n",
    }
    for name, text in sources.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return VersionCode(model, version, folder, list(sources))


def pickled_by_a_script(
    folder: Path, monkeypatch: pytest.MonkeyPatch, value: int, package: str = ""
) -> bytes:
    """A pickle made by a script that runs in the folder and imports `preprocess`."""
    with monkeypatch.context() as scripted:
        scripted.syspath_prepend(folder)
        made = pickle.dumps(importlib.import_module("preprocess").Scaled(value))
    for name in ("preprocess", "scaling", "units"):
        sys.modules.pop(name, None)
    return made


def test_a_pickle_opens_by_the_names_of_its_training_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = code_in(tmp_path / "a")
    data = pickled_by_a_script(tmp_path / "a", monkeypatch, 5)
    with code.importable():
        opened = pickle.loads(data)
    assert opened() == (10, "unit of one")


def test_a_pickle_opens_by_the_names_of_its_build(tmp_path: Path) -> None:
    code = code_in(tmp_path / "one" / "1.0.0")
    open_folder(tmp_path / "one")
    with code.importable():
        module = importlib.import_module("takt_models.one.preprocess")
    assert module.Scaled(1)() == (2, "unit of one")
    assert not [name for name in sys.modules if name.startswith("takt_models.one.")]


def test_two_models_with_modules_of_the_same_name_do_not_share_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [code_in(tmp_path / "a", "one", factor=2), code_in(tmp_path / "b", "two", factor=3)]
    opened = []
    for code, folder in zip(codes, "ab", strict=True):
        data = pickled_by_a_script(tmp_path / folder, monkeypatch, 5)
        with code.importable():
            opened.append(pickle.loads(data))
    assert [each() for each in opened] == [(10, "unit of one"), (15, "unit of two")]


def test_two_versions_of_a_model_keep_their_own_modules(tmp_path: Path) -> None:
    codes = [code_in(tmp_path / v, factor=n, version=v) for n, v in enumerate(("1.0.0", "1.0.1"), start=2)]
    assert [code.import_module("preprocess").Scaled(1)()[0] for code in codes] == [2, 3]


def test_a_version_from_another_folder_replaces_the_earlier(tmp_path: Path) -> None:
    assert code_in(tmp_path / "a", factor=2).import_module("scaling").FACTOR == 2
    assert code_in(tmp_path / "b", factor=4).import_module("scaling").FACTOR == 4


def test_what_was_imported_before_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "units.py").write_text("UNIT = 'elsewhere'\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    before = importlib.import_module("units")
    code = code_in(tmp_path / "a")
    with code.importable():
        assert importlib.import_module("units").UNIT == "unit of one"
    assert sys.modules.pop("units") is before


def test_a_package_beside_a_model_is_imported_whole(tmp_path: Path) -> None:
    code = code_in(tmp_path / "a")
    assert code.import_module("parts").WORD == "inner"
    with code.importable():
        assert importlib.import_module("parts.inner").WORD == "inner"


def test_a_module_of_python_itself_is_never_replaced(tmp_path: Path) -> None:
    code = code_in(tmp_path / "a")
    with code.importable():
        sys.modules.pop("json")
        assert importlib.import_module("json").dumps({}) == "{}"


def test_a_file_that_the_version_does_not_list_is_not_imported(tmp_path: Path) -> None:
    code = code_in(tmp_path / "a")
    (tmp_path / "a" / "added.py").write_text("X = 1\n", encoding="utf-8")
    with pytest.raises(ModuleNotFoundError, match="added"):
        code.import_module("added")


def test_no_compiled_file_is_read_or_written(tmp_path: Path) -> None:
    code_in(tmp_path / "a").import_module("preprocess")
    assert not list(tmp_path.rglob("__pycache__"))
