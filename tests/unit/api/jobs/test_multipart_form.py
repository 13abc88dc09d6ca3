"""Streaming forms: fields first, then the file's bytes as they arrive."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.gateway_fakes import FakeRedis
from tests.unit.upload_stage import (
    AS_CSV,
    CSV,
    KEY,
    Stage,
    job_of,
    objects,
    post,
    stored_rows,
    upload_stage,
)


@pytest.fixture
def client() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def stage(client: FakeRedis, tmp_path: Path) -> AsyncIterator[Stage]:
    async with upload_stage(client, tmp_path) as started:
        yield started


async def test_a_form_with_a_packed_file_becomes_a_job(stage: Stage) -> None:
    gateway, http = stage
    answer = await http.post(
        "/jobs",
        data={"model": "iris", "delimiter": ";", "tag": "a"},
        files={"file": ("lot.csv.gz", gzip.compress(CSV.replace(b",", b";")), "application/gzip")},
    )
    assert answer.status_code == 202, answer.text
    assert await stored_rows(gateway, answer.json()["id"]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"--x\r\nContent-Disposition: form-data; name=model\r\n\r\niris\r\n--x--\r\n", "no file"),
        (b"--x\r\nContent-Disposition: form-data; name=f; filename=a.csv\r\n\r\n", "model"),
        (b"not a form", "not multipart"),
        (b"", "no file"),
    ],
)
async def test_a_form_that_lacks_something_is_refused(stage: Stage, body: bytes, said: str) -> None:
    _, http = stage
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await http.post("/jobs", content=body, headers=headers)
    assert (answer.status_code, said in answer.text) == (422, True), answer.text


@pytest.mark.parametrize("name", ["주문.csv".encode(), "lot\u00e9.csv".encode(), b"\xff\xfe.csv"])
async def test_a_file_may_have_any_name(stage: Stage, name: bytes) -> None:
    gateway, http = stage
    head = b'--x\r\nContent-Disposition: form-data; name="\xed\x95\x9c"; filename="%s"\r\n\r\n' % name
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await post(http, head + CSV + b"\r\n--x--\r\n", headers)
    assert answer.status_code == 202, answer.text
    assert await stored_rows(gateway, answer.json()["id"]) == [0, 1, 2, 3, 4]


async def test_a_field_may_have_any_name_and_is_refused_by_it(stage: Stage) -> None:
    _, http = stage
    body = b'--x\r\nContent-Disposition: form-data; name="\xed\x95\x9c\xff"\r\n\r\n1\r\n--x--\r\n'
    answer = await post(http, body, {"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 422, answer.text


async def test_a_form_that_is_cut_off_fails_its_job(stage: Stage, tmp_path: Path) -> None:
    _, http = stage
    head = b"--x\r\nContent-Disposition: form-data; name=f; filename=a.csv\r\n\r\n"
    answer = await post(http, head + CSV, {"content-type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, "truncated" in answer.text) == (422, True), answer.text
    assert (await job_of(http, answer))["state"] == "failed"
    assert objects(tmp_path) == []


@pytest.mark.parametrize(
    "headers", [{"content-type": "application/pdf"}, AS_CSV | {"content-encoding": "br"}]
)
async def test_an_unknown_format_is_refused_with_those_that_are_read(
    stage: Stage, headers: dict[str, str]
) -> None:
    _, http = stage
    answer = await post(http, CSV, headers)
    assert (answer.status_code, answer.json()["error"]) == (415, "unsupported_media_type")
    assert "text/csv" in answer.text or "gzip" in answer.text


async def test_the_same_form_sent_again_is_the_same_job(stage: Stage) -> None:
    _, http = stage
    answers = [
        await http.post("/jobs", data={"model": "iris"}, files={"file": ("lot.csv", CSV)}, headers=KEY)
        for _ in range(2)  # httpx draws a boundary each time
    ]
    assert answers[0].headers["location"] == answers[1].headers["location"]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/vnd.ms-excel",
        "text/plain",
        "application/octet-stream",
        "application/x-csv",
        "x",
        "text/csv",
    ],
)
@pytest.mark.parametrize("name", ["lot.csv", "LOT.CSV", "불량.csv"])
async def test_the_name_of_a_file_decides_if_its_type_is_unknown(
    stage: Stage, content_type: str, name: str
) -> None:
    """Windows reads the type of .csv from the registry, and Excel registers its own there."""
    _, http = stage
    answer = await http.post("/jobs", data={"model": "iris"}, files={"file": (name, CSV, content_type)})
    assert (answer.status_code, answer.json().get("rows_total")) == (202, 5), answer.text


async def test_a_file_name_in_utf_8_alone_is_a_file_name(stage: Stage) -> None:
    """The form of RFC 5987, which some clients send without a plain `filename`."""
    _, http = stage
    field = b"--x\r\nContent-Disposition: form-data; name=model\r\n\r\niris\r\n"
    part = b"--x\r\nContent-Disposition: form-data; name=f; filename*=UTF-8''%ED%95%9C.csv\r\n\r\n"
    headers = {"content-type": 'multipart/form-data; charset="utf-8"; boundary="x"'}
    answer = await http.post("/jobs", content=field + part + CSV + b"\r\n--x--\r\n", headers=headers)
    assert (answer.status_code, answer.json().get("rows_total")) == (202, 5), answer.text
