"""A wrong file is recognised by its first bytes, and the error says what to do with it."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.errors import ArtifactError
from worker.predictors.file_contents import check_contents, contents_of

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"
PAGE = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>"
SUFFIXES = {
    "scikit-learn": (".joblib", ".pkl", ".skops"),
    "pytorch": (".pt", ".pt2"),
    "onnx": (".onnx",),
    "xgboost": (".json", ".ubj", ".joblib"),
    "lightgbm": (".txt", ".joblib"),
    "catboost": (".cbm", ".joblib"),
}
PLACES = [(framework, suffix) for framework, suffixes in SUFFIXES.items() for suffix in suffixes]


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return file.getvalue()


def tar_gz() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("model.joblib"))
    return file.getvalue()


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


NO_MODEL = [
    (b"", "is empty: copy the file itself again"),
    (bytes(500), "without content"),
    (PAGE, "an HTML page, such as the answer to a failed download"),
    (POINTER, "a pointer of Git LFS.*git lfs pull"),
    (zipped("readme.txt"), "a zip archive with 'readme.txt': unpack it"),
    (zipped("readme.txt")[:20], "a zip archive that is cut off"),
    (tar_gz(), "compressed, as a .gz or .tar.gz file: unpack it"),
    (b"<?xml version='1.0'?><PMML/>", "XML, such as PMML"),
    (b"\x89HDF\r\n\x1a\n" + bytes(30), "a file of HDF5, as of Keras: export it as ONNX"),
    (b"binf" + bytes(30), "its former binary format: load it with the XGBoost that saved it"),
    (b"booster[0]:\n0:[f2<2.5] yes=1,no=2\n", "a dump of XGBoost as text"),
    (b'[{"nodeid": 0, "depth": 0}]', "a dump of XGBoost, which cannot be loaded again"),
    (b'{"learner":{"generic_param":{}}}', "a configuration of XGBoost, without trees"),
    (b'{"name": "tree", "tree_info": []}', r"a dump of LightGBM.*booster\.save_model\('model\.txt'\)"),
    (b'{"oblivious_trees": [], "model_info": {}}', "a model of CatBoost as JSON"),
    (b'{"features": 3}', "JSON of something else, with the keys 'features'"),
    (b'{"features": ', "no complete JSON"),
    (b"tree\r\nversion=v4\r\n", "Windows line ends"),
    (b"\x93NUMPY\x01\x00", "an array of numpy, no model"),
    (zipped("arr_0.npy"), "an archive of numpy arrays"),
    ((9).to_bytes(8, "little") + b'{"weight":{}}', "a file of safetensors"),
]


@pytest.mark.parametrize(("framework", "suffix"), PLACES)
# named by the reason: an archive contains the time, and parallel test processes need the same names
@pytest.mark.parametrize(("content", "why"), NO_MODEL, ids=[why for _, why in NO_MODEL])
def test_a_file_that_is_no_model_is_named(
    tmp_path: Path, framework: str, suffix: str, content: bytes, why: str
) -> None:
    file = tmp_path / f"press{suffix}"
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=why) as caught:
        check_contents(file, framework)
    assert caught.value.detail.startswith(f"press{suffix} is ")


MODELS = {
    "pickle": (pickle.dumps([1]), {".joblib", ".pkl"}),
    "compressed pickle": (gzip.compress(pickle.dumps([1])), {".joblib", ".pkl"}),
    "torch": (saved({"a": torch.zeros(1)}), {".pt", ".pt2"}),
    "former torch": (saved({"a": torch.zeros(1)}, _use_new_zipfile_serialization=False), {".pt", ".pt2"}),
    "skops": (zipped("schema.json"), {".skops"}),
    "xgboost": (b'{"learner":{"attributes":{}},"version":[3,0,0]}', {".json"}),
    "ubjson": (b"{L\0\0\0\0\0\0\0\x07learner{", {".ubj"}),
    "lightgbm": (b"tree\nversion=v4\n", {".txt"}),
    "catboost": (b"CBM1" + bytes(10), {".cbm"}),
    "onnx": (b"\x08\x08\x3a\x00", {".onnx"}),
}


@pytest.mark.parametrize(("framework", "suffix"), PLACES)
@pytest.mark.parametrize("kind", MODELS)
def test_a_model_fits_its_own_framework_and_name_only(
    tmp_path: Path, framework: str, suffix: str, kind: str
) -> None:
    content, suffixes = MODELS[kind]
    file = tmp_path / f"press{suffix}"
    file.write_bytes(content)
    if suffix in suffixes:
        check_contents(file, framework)
    else:
        with pytest.raises(ArtifactError, match=r"press.* is "):
            check_contents(file, framework)


@pytest.mark.parametrize("framework", ["pytorch", "xgboost", "lightgbm", "catboost"])
def test_a_file_without_a_known_beginning_says_how_to_save_a_model(tmp_path: Path, framework: str) -> None:
    file = tmp_path / "press.bin"
    file.write_bytes(np.random.default_rng(1).bytes(400))
    with pytest.raises(ArtifactError, match=rf"press.bin is no file of {framework}: save the"):
        check_contents(file, framework)


def test_files_of_a_python_model_and_folders_may_hold_anything(tmp_path: Path) -> None:
    (tmp_path / "limits.json").write_text(json.dumps({"a": 1}))
    check_contents(tmp_path / "limits.json", "python")
    assert contents_of(tmp_path) is None
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="is an empty folder"):
        check_contents(tmp_path / "empty", "mlflow")
