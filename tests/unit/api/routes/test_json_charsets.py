"""The encoding of JSON bodies: byte order mark, else declared charset, else UTF-8."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.gateway_fakes import FakeRedis
from tests.unit.job_stage import submission
from tests.unit.upload_stage import CSV, Stage, upload_stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with upload_stage(FakeRedis(), tmp_path) as started:
        yield started


def job(charset: str) -> bytes:
    return json.dumps(submission(2, reference="뷁 사출기"), ensure_ascii=False).encode(charset)


@pytest.mark.parametrize(
    ("saved", "declared"),
    [
        ("cp949", "euc-kr"),
        ("cp949", "ks_c_5601-1987"),
        ("utf-16-le", "utf-16le"),
        ("utf-8", "utf-8"),
        ("utf-8-sig", ""),
        ("utf-16", ""),
        ("utf-16", "euc-kr"),
    ],
)
async def test_a_job_in_json_may_have_any_charset(stage: Stage, saved: str, declared: str) -> None:
    _, http = stage
    kind = f"application/json; charset={declared}" if declared else "application/json"
    answer = await http.post("/jobs", content=job(saved), headers={"content-type": kind})
    assert (answer.status_code, answer.json().get("reference")) == (202, "뷁 사출기"), answer.text


@pytest.mark.parametrize("path", ["/jobs", "/predict/batch"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (job("cp949"), "charset=cp949"),
        (job("utf-16-le"), "UTF-16 without a byte order mark"),
        (b"PK\x03\x04" + bytes(40), "ZIP archive"),
        (b"<!DOCTYPE html><html></html>", "HTML page"),
    ],
)
async def test_a_body_that_is_no_json_is_named(stage: Stage, path: str, body: bytes, said: str) -> None:
    _, http = stage
    answer = await http.post(path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, said in answer.text) == (422, True), answer.text


@pytest.mark.parametrize("path", ["/jobs", "/predict"])
async def test_a_charset_that_is_not_known_is_named(stage: Stage, path: str) -> None:
    _, http = stage
    kind = "application/json; charset=klingon"
    answer = await http.post(path, content=job("utf-8"), headers={"content-type": kind})
    assert (answer.status_code, "klingon" in answer.text) == (422, True), answer.text


def form(reference: bytes, kind: bytes = b"") -> bytes:
    """A form with a reference and a CSV file. `kind` is the Content-Type of the reference."""
    about = b"\r\nContent-Type: " + kind if kind else b""
    return (
        b"--x\r\nContent-Disposition: form-data; name=model\r\n\r\niris\r\n"
        b"--x\r\nContent-Disposition: form-data; name=reference" + about + b"\r\n\r\n" + reference + b"\r\n"
        b"--x\r\nContent-Disposition: form-data; name=file; filename=a.csv\r\n\r\n" + CSV + b"\r\n--x--\r\n"
    )


AS_FORM = {"content-type": "multipart/form-data; boundary=x"}


async def test_a_forms_field_has_its_own_charset_else_utf_8(stage: Stage) -> None:
    _, http = stage
    for body in (form("뷁".encode()), form("뷁".encode("cp949"), b"text/plain; charset=euc-kr")):
        answer = await http.post("/jobs", content=body, headers=AS_FORM)
        assert (answer.status_code, answer.json().get("reference")) == (202, "뷁"), answer.text
    answer = await http.post("/jobs", content=form("설비".encode("cp949")), headers=AS_FORM)
    assert (answer.status_code, "field 'reference' is not utf-8" in answer.text) == (422, True), answer.text


async def test_a_form_that_goes_on_after_its_last_boundary_is_refused(stage: Stage) -> None:
    """The file may contain the boundary by accident; the data after it would be lost silently."""
    _, http = stage
    for behind in (b"1,1,1,1\r\n", b"--x\r\n", form(b"again")):
        answer = await http.post("/jobs", content=form(b"a") + behind, headers=AS_FORM)
        assert (answer.status_code, "after its last boundary" in answer.text) == (422, True), answer.text
    answer = await http.post("/jobs", content=form(b"a") + b"\r\n", headers=AS_FORM)
    assert answer.status_code == 202
