"""The content of a file by its first bytes, whatever its name: an error about a wrong file has the remedy.

A file that matches no rule is left to its framework. No code of the file is run.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ArtifactError
from shared.safe_texts import first_of
from worker.predictors.onnx_header import NotOnnxError, read_header

_HEAD_BYTES = 4096
_MOST_JSON_BYTES = 64 * 2**20
_UBJSON_SIZES = (b"i", b"U", b"I", b"l", b"L")
"""After its first byte, a length in place of a name in quotes."""
_COPY_AGAIN = "copy the file itself again"
_TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_TORCH_FORMS = ("data.pkl", "constants.pkl", "archive_version", "archive_format")
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_ESTIMATORS = ("scikit-learn", "xgboost", "lightgbm", "catboost")
_READERS = (*_ESTIMATORS, "pytorch", "onnx", "mlflow")


@dataclass(frozen=True)
class FileContents:
    """`what` it is, and `advice` if it is not of `frameworks`, which read such a file."""

    what: str
    advice: str
    frameworks: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()  # under which they read it; empty: any


def check_contents(artifact: Path, framework: str) -> None:
    """Raises ArtifactError if the file is known to be no artifact of the framework.

    Python models and frameworks of other packages may have any files.
    """
    if framework not in _READERS:
        return
    found, name = contents_of(artifact), artifact.name.lower()
    if found is None:
        if framework in _RECOGNISED and artifact.is_file() and not name.endswith(_PICKLED.suffixes):
            raise ArtifactError(f"{artifact.name} is no file of {framework}: {_RECOGNISED[framework]}")
        return
    fits_name = not found.suffixes or name.endswith(found.suffixes)
    if framework not in found.frameworks or not fits_name:
        raise ArtifactError(f"{artifact.name} is {found.what}: {found.advice}")


def contents_of(artifact: Path) -> FileContents | None:
    """None: unknown, or a folder with files."""
    if artifact.is_dir():
        has_files = any(path.is_file() for path in artifact.rglob("*"))
        return None if has_files else FileContents("an empty folder", "copy it again with its files")
    if not artifact.is_file():
        return None
    with artifact.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip(b"\0 \r\n\t"):
        return FileContents("empty" if not head else "without content, only zeros or spaces", _COPY_AGAIN)
    for start, found in _BY_HEAD:
        if head.startswith(start):
            return found(artifact, head) if callable(found) else found
    return _of_text(head) or _of_safetensors(head) or _of_graph(artifact)


def _of_graph(artifact: Path) -> FileContents | None:
    try:
        read_header(artifact)
    except (NotOnnxError, OSError):
        return None
    return FileContents("a model of ONNX", _of_framework("onnx", ".onnx"), ("onnx",), (".onnx",))


def _archive(artifact: Path, _head: bytes) -> FileContents:
    try:
        with zipfile.ZipFile(artifact) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return FileContents(
            "a zip archive that is cut off, as of torch or skops", _COPY_AGAIN + ", or save the model again"
        )
    inside = {name.rpartition("/")[2] for name in names}
    if "schema.json" in inside:
        return FileContents(
            "a file of skops", _of_framework("scikit-learn", ".skops"), ("scikit-learn",), (".skops",)
        )
    if any(name in inside for name in _TORCH_FORMS) or any("/models/" in name for name in names):
        return FileContents("a file of torch", _of_framework("pytorch", ".pt or .pt2"), ("pytorch",))
    if names and all(name.endswith(".npy") for name in names):
        return FileContents("an archive of numpy arrays, no model", "give the trained model itself")
    if any(name.endswith(".weights.h5") for name in names):
        return _KERAS
    return FileContents(f"a zip archive with {first_of(names, 3)}", _UNPACK)


def _compressed(artifact: Path, head: bytes) -> FileContents:
    """Pickles may be compressed; an archive of files is no pickle."""
    if _PICKLE.match(_first_bytes(artifact, head)):
        return _PICKLED
    return FileContents("compressed, as a .gz or .tar.gz file", _UNPACK)


def _first_bytes(_artifact: Path, head: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(head, 16)
    except zlib.error:
        return b""


def _json(artifact: Path, head: bytes) -> FileContents | None:
    if head[1:2] in _UBJSON_SIZES:
        return FileContents("a model of XGBoost as UBJSON", "name it model.ubj", ("xgboost",), (".ubj",))
    if b'"learner"' in head:
        return _XGBOOST_SETTINGS if b'"generic_param"' in head else _XGBOOST
    if artifact.stat().st_size > _MOST_JSON_BYTES:
        return None
    try:
        return _of_document(json.loads(artifact.read_bytes()))
    except ValueError:
        return FileContents("no complete JSON", _COPY_AGAIN + ", or save the model again")


def _of_document(found: object) -> FileContents | None:
    """By the keys of a JSON document."""
    keys = found.keys() if isinstance(found, dict) else set()
    if "tree_info" in keys:
        return FileContents("a dump of LightGBM, which cannot be loaded again", _SAVE_LIGHTGBM)
    if "oblivious_trees" in keys or {"features_info", "model_info"} & keys:
        return FileContents("a model of CatBoost as JSON", "save it with model.save_model('model.cbm')")
    if isinstance(found, list) and found and isinstance(found[0], dict) and "nodeid" in found[0]:
        return FileContents("a dump of XGBoost, which cannot be loaded again", _SAVE_XGBOOST)
    return FileContents(f"JSON of something else, with {_shown(found)}", "give the trained file itself")


def _shown(found: object) -> str:
    if isinstance(found, dict):
        return f"the keys {first_of(list(found), 4)}" if found else "no keys"
    return f"a {type(found).__name__}"


def _of_text(head: bytes) -> FileContents | None:
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return FileContents("an HTML page, such as the answer to a failed download", _COPY_AGAIN)
    if start.startswith(b"<"):
        return FileContents(
            "XML, such as PMML, which is not served", "save the model in a format of its library"
        )
    if start.startswith(b"booster["):
        return FileContents("a dump of XGBoost as text, which cannot be loaded again", _SAVE_XGBOOST)
    return None


def _of_safetensors(head: bytes) -> FileContents | None:
    if head[8:10] != b'{"' or int.from_bytes(head[:8], "little") > 2**30:
        return None
    return FileContents(
        "a file of safetensors, weights without a network",
        "save them with torch.save(safetensors.torch.load_file(name), 'model.pt'), and name the class in "
        "[pytorch] module",
    )


def _of_framework(framework: str, suffix: str) -> str:
    return f"it is for framework = {framework!r}, with a name that ends in {suffix}"


_UNPACK = "unpack it, and give the trained file in it"
_SAVE_XGBOOST = "save the model with booster.save_model('model.json')"
_SAVE_LIGHTGBM = "save the model with booster.save_model('model.txt')"
_PICKLED = FileContents(
    "a pickle of Python",
    "name it .joblib if it holds an estimator (torch.save(network.state_dict(), 'model.pt') saves a network)",
    _ESTIMATORS,
    (".joblib", ".pkl", ".pickle"),
)
_XGBOOST = FileContents(
    "a model of XGBoost as JSON", _of_framework("xgboost", ".json"), ("xgboost",), (".json",)
)
_XGBOOST_SETTINGS = FileContents("a configuration of XGBoost, without trees", _SAVE_XGBOOST)
_RECOGNISED = {
    "pytorch": "save the network with torch.export.save, or its weights with torch.save",
    "xgboost": _SAVE_XGBOOST,
    "lightgbm": _SAVE_LIGHTGBM,
    "catboost": "save the model with model.save_model('model.cbm')",
}
"""Frameworks whose files are all known by their first bytes, except pickles."""
_KERAS = FileContents("a model of Keras", "export it as ONNX: model.export('model.onnx', format='onnx')")
_HDF5 = FileContents("a file of HDF5, as of Keras", _KERAS.advice)
_OLD_XGBOOST = FileContents(
    "a model of XGBoost in its former binary format",
    "load it with the XGBoost that saved it (before 3.1), and save it as model.json",
)
_POINTER = FileContents(
    "a pointer of Git LFS, not the file itself", "run `git lfs pull`, and use the downloaded file"
)
_BY_HEAD: tuple[tuple[bytes, FileContents | Callable[[Path, bytes], FileContents | None]], ...] = (
    (b"version https://git-lfs", _POINTER),
    (b"PK\x03\x04", _archive),
    (b"PK\x05\x06", FileContents("an empty zip archive", _COPY_AGAIN)),
    (_TORCH_LEGACY, FileContents("a file of torch", _of_framework("pytorch", ".pt"), ("pytorch",))),
    *((bytes((0x80, protocol)), _PICKLED) for protocol in range(2, 6)),
    (b"\x1f\x8b", _compressed),
    (b"x\x9c", _compressed),
    (b"x\x5e", _compressed),
    (
        b"CBM1",
        FileContents("a model of CatBoost", _of_framework("catboost", ".cbm"), ("catboost",), (".cbm",)),
    ),
    (
        b"tree\n",
        FileContents("a model of LightGBM", _of_framework("lightgbm", ".txt"), ("lightgbm",), (".txt",)),
    ),
    (b"tree\r\n", FileContents("a model of LightGBM with Windows line ends", "copy it as a binary file")),
    (b"{", _json),
    (b"[", _json),
    (b"\x89HDF", _HDF5),
    (b"binf", _OLD_XGBOOST),
    (b"\x93NUMPY", FileContents("an array of numpy, no model", "give the trained model itself")),
    (
        b"PAR1",
        FileContents(
            "a table of Parquet, no model", "give it with --sample, and the trained file with --from"
        ),
    ),
)
