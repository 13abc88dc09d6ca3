"""Archives of versions that nobody should unpack, and those that everybody sends."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from api.publishing.archives import archive_bytes, entry_head, unpack_archive
from shared.errors import InvalidInputError, PayloadTooLargeError
from tests.support.version_archives import archive_of

MOST_BYTES = 100_000
FILES = {"model.toml": b"name", "deep/er/온도 [K].bin": bytes(3000)}


def unpacked(tmp_path: Path, content: bytes, most_bytes: int = MOST_BYTES) -> dict[str, bytes]:
    tmp_path.mkdir(exist_ok=True)
    archive, folder = tmp_path / "archive", tmp_path / "unpacked"
    archive.write_bytes(content)
    folder.mkdir()
    unpack_archive(archive, folder, most_bytes)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_a_plain_or_compressed_archive_is_unpacked(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    assert unpacked(tmp_path, pack(archive_of(FILES))) == FILES


def test_folders_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    more = archive_of(
        FILES | {"./.git/config": b"", "__pycache__/x.pyc": b""}, entry("deep/", tarfile.DIRTYPE)
    )
    assert unpacked(tmp_path, more) == FILES


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/passwd", "a\\b", "c:/evil", "x" * 600, "a\nb"]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="not a path inside"):
        unpacked(tmp_path, archive_of(FILES | {name: b""}))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(InvalidInputError, match="send only files"):
        unpacked(tmp_path, archive_of(FILES, entry("link", kind, "/etc/passwd")))


def test_a_file_through_a_link_is_refused(tmp_path: Path) -> None:
    through = archive_of({}, entry("model", tarfile.SYMTYPE, str(tmp_path)))[:512] + archive_of(
        {"model/x": b"1"}
    )
    with pytest.raises(InvalidInputError):
        unpacked(tmp_path, through)
    assert not (tmp_path / "x").exists()


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="twice"):
        unpacked(tmp_path, archive_of(FILES, entry("./model.toml")))
    with pytest.raises(InvalidInputError, match="a file and a folder"):
        unpacked(tmp_path / "other", archive_of(FILES, entry("model.toml/more")))


def test_more_bytes_than_allowed_are_refused_however_they_are_packed(tmp_path: Path) -> None:
    packs: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, zstd]
    for number, pack in enumerate(packs):
        with pytest.raises(PayloadTooLargeError):
            unpacked(tmp_path / str(number), pack(archive_of({"zeros": bytes(200_000)})))


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    with pytest.raises(PayloadTooLargeError):
        unpacked(tmp_path, gzip.compress(bytes(80 * 2**20)))
    assert not any(path.stat().st_size > 40 * 2**20 for path in tmp_path.rglob("*"))


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("PaxHeaders/x")
    info.type, info.size = tarfile.XHDTYPE, 2**31
    with pytest.raises(InvalidInputError, match="extended header"):
        unpacked(tmp_path, info.tobuf() + bytes(1024))


@pytest.mark.parametrize(
    "content", [b"", b"no archive at all", b"\x1f\x8b" + bytes(50), b"\x28\xb5\x2f\xfd" + bytes(50)]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidInputError):
        unpacked(tmp_path, content)


def test_an_archive_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    whole = archive_of(FILES)
    with pytest.raises(InvalidInputError):
        unpacked(tmp_path, whole[:2000])


def test_the_size_of_an_archive_is_known_before_it_is_written() -> None:
    sizes = {name: len(content) for name, content in FILES.items()}
    written = io.BytesIO(archive_of(FILES)).getbuffer().nbytes
    assert archive_bytes(iter(sizes.items())) <= written
    assert len(entry_head("x", 1)) == 512
