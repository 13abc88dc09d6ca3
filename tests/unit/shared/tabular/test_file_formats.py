"""Every file format of the server is known to the client, the console and the documents."""

from __future__ import annotations

import re

import pytest

from shared.tabular.file_formats import RESULT_FORMATS, UPLOAD_FORMATS, FileFormat
from takt.formats import Format
from tests.support.documents import ROOT

UPLOADED = {each.media_type for each in UPLOAD_FORMATS}


def test_the_client_has_the_names_and_media_types_of_the_server() -> None:
    client = {each.value: each.media_type for each in Format}
    assert client == {each.value: each.media_type for each in RESULT_FORMATS}


def test_the_console_sends_every_format() -> None:
    script = (ROOT / "console" / "filekinds.js").read_text(encoding="utf-8")
    assert set(re.findall(r'"(\w+/[\w.-]+)"', script)) == UPLOADED


@pytest.mark.parametrize("file_format", UPLOAD_FORMATS)
def test_the_media_type_is_documented(file_format: FileFormat) -> None:
    assert f"`{file_format.media_type}`" in (ROOT / "docs" / "http-api.md").read_text(encoding="utf-8")
