"""Error details: bounded length, consistent wording, helpful hints, and a fixed type per code."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import structlog

from api.http.error_answers import DETAIL_TYPES, answer_of
from api.http.error_status import STATUS
from shared import errors
from shared.errors import InvalidInputError, ServiceError, from_wire
from shared.input_problems import InputProblem
from shared.logs import MOST_FIELD_CHARS, _bounded
from shared.safe_texts import did_you_mean, foreign_words, nearest
from shared.tabular.file_errors import OTHERWISE, reason_of
from shared.tabular.missing_columns import Head, why_missing
from tests.unit.gateway_fakes import IRIS_ROW, FakeRedis
from tests.unit.upload_stage import AS_CSV, HEADER, Stage, job_of, post, upload_stage

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with upload_stage(FakeRedis(), tmp_path) as started:
        yield started


def messages(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [problem["msg"] for problem in answer.json()["detail"]]


# -- type of detail by code --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", STATUS)
def test_detail_has_a_type_for_each_code(code: str) -> None:
    error = from_wire(code, "something")
    assert type(error) is not ServiceError or code == "internal_error"
    _, _, body = answer_of(error, "r")
    assert type(json.loads(body)["detail"]) is DETAIL_TYPES[code]


async def test_every_422_is_a_list_whoever_found_it(stage: Stage) -> None:
    http = stage[1]
    for answer in (
        await http.post("/predict/batch", content=b"{"),
        await http.post("/predict/batch", content=b"x", headers={"content-encoding": "gzip"}),
        await http.post("/jobs", content=b"{}"),
        await http.get("/jobs?limit=x"),
        await http.get("/jobs?cursor=x"),
        await post(http, b""),
        await post(http, b"PAR1", {"content-type": "application/vnd.apache.parquet"}),
        await http.post("/jobs", content=b"x", headers={"content-type": "multipart/form-data; boundary=x"}),
    ):
        assert messages(answer), answer.text


# -- bounds ------------------------------------------------------------------------------------------------


def test_an_error_has_a_bounded_detail_without_what_commands_a_terminal() -> None:
    error = ServiceError("\x1b[31mred\x1b[0m \x07" + "x" * 1_000_000)
    assert error.detail.startswith("red �xxx")
    assert len(error.detail) == 2000


def test_many_problems_are_the_first_and_how_many_more_there_are() -> None:
    problems = [
        InputProblem(row=n, field="f" * 9999, loc=["f" * 9999] * 99, msg="m" * 9999, type="t")
        for n in range(900)
    ]
    listed = InvalidInputError(problems=problems, more_problems=100).listed()
    assert listed[-1]["type"] == "more_problems"
    assert listed[-1]["count"] == 1000 - (len(listed) - 1)
    assert len(json.dumps(listed)) < 40_000


async def test_a_file_for_a_tensor_of_many_values_is_refused_in_a_few_words(
    tmp_path: Path, stage: Stage
) -> None:
    """Naming each of its columns would make a 422 response of 17 MB."""
    gateway, http = stage
    spec = gateway.catalog.find("iris").spec
    object.__setattr__(spec.inputs[0], "shape", (3, 224, 224))
    answer = await post(http, b"a,b\n1,2\n")
    assert "columns 'sepal_length_0' … 'sepal_length_150527' are missing" in messages(answer)[0]
    assert len(answer.content) < 3000
    job = await job_of(http, answer)
    assert len(job["error"]["detail"]) <= 2000


async def test_long_and_wide_rows_are_refused_in_a_few_words(stage: Stage) -> None:
    http = stage[1]
    wide = {f"{'x' * 500}{n}": n for n in range(3000)}
    for answer in (
        await http.post("/models/iris/predict/batch", json={"inputs": [wide]}),
        await http.post("/models/iris/predict/batch", json={"inputs": [IRIS_ROW | {"x" * 500_000: 1}]}),
        await http.get(f"/models/{'x' * 10_000}"),
        await http.post("/jobs", json={"model": "iris", "inputs": [wide] * 3}, headers={"accept": "*/*"}),
        await post(http, ",".join(f"{'y' * 300}{n}" for n in range(3000)).encode() + b"\n"),
    ):
        assert answer.status_code in (404, 413, 422)
        assert len(answer.content) < 64 * 1024


async def test_a_report_is_bounded_whatever_a_file_holds(stage: Stage) -> None:
    head = ",".join([*NAMES, *(f"{'열' * 90}{n}" for n in range(2000))])
    row = ",".join(["가" * 300] * 4 + ["1"] * 2000)
    answer = await post(stage[1], "\n".join([head, *[row] * 200, ""]).encode(), validate_only="true")
    report = answer.json()
    assert (report["rows_invalid"], report["ignored_columns_total"]) == (200, 2000)
    assert len(answer.content) < 64 * 1024


def test_a_field_of_a_log_event_is_bounded() -> None:
    event = _bounded(None, "info", {"event": "e", "reason": "x" * 10**6, "found": list(range(1000))})
    assert len(event["reason"]) < MOST_FIELD_CHARS + 100
    assert event["found"][-1] == "… (1000 in all)"


# -- hints -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (HEADER.replace(b",", b";") + b"1;2;3;4\n", "delimiter seems to be ';', not ',': send delimiter=;"),
        (HEADER.replace(b",", b"\t") + b"1\t2\t3\t4\n", "send delimiter=tab"),
        (HEADER.upper() + b"1,2,3,4\n", "differ in case"),
        (HEADER.replace(b"_", b" ") + b"1,2,3,4\n", "differ in case, blanks or underscores"),
        (b"5.1,3.5,1.4,0.2\n6,2,3,4\n", "The first line contains values"),
        (HEADER.strip() + b"5.1,3.5,1.4,0.26.7,3.0,5.2,2.3", "--data-binary"),
    ],
)
async def test_a_missing_column_says_what_was_found_and_the_likely_reason(
    stage: Stage, body: bytes, reason: str
) -> None:
    answer = await post(stage[1], body, AS_CSV)
    first = messages(answer)[0]
    assert re.search(r"is missing\..* Found: '", first)
    assert reason in first
    assert reason in (await job_of(stage[1], answer))["error"]["detail"]


async def test_a_misspelt_column_says_the_nearest(stage: Stage) -> None:
    answer = await post(stage[1], HEADER.replace(b"sepal_width", b"sepal_widht") + b"1,2,3,4\n")
    (message,) = messages(answer)
    assert message.startswith(
        "column 'sepal_width' is missing. Did you mean 'sepal_widht'? Found: 'sepal_length',"
    )


def test_columns_without_a_likely_reason_say_only_what_was_found() -> None:
    assert why_missing(["a"], ["x", "y"], Head(",", one_line=False)) == "Found: 'x', 'y'."
    assert why_missing(["a"], [], None) == "Found: none."
    assert why_missing(["a"], [f"c{n}" for n in range(25)]).endswith("'c19' and 5 more.")


async def test_an_unknown_name_is_refused_with_the_nearest_name(stage: Stage) -> None:
    http = stage[1]
    assert (await http.get("/models/irsi")).json()["detail"].endswith("Did you mean 'iris'?")
    assert (await http.get("/models/Iris")).json()["detail"].endswith("Did you mean 'iris'?")
    unknown = await http.get("/models/iris/versions/1.0.1")
    assert unknown.json()["detail"].endswith("Did you mean '1.0.0'?")
    row = {("sepal_lenght" if name == "sepal_length" else name): 1 for name in NAMES}
    field = await http.post("/models/iris/predict/batch", json={"inputs": [row]})
    assert "Unknown field 'sepal_lenght'. Did you mean 'sepal_length'?" in messages(field)
    query = await http.post("/jobs?modle=iris", content=HEADER, headers=AS_CSV)
    assert "Unknown parameter 'modle'. Did you mean 'model'?" in messages(query)
    body = await http.post("/jobs", json={"modle": "iris", "inputs": [IRIS_ROW]})
    assert messages(body) == ["unknown field 'modle'. Did you mean 'model'?"]
    made = await http.post("/jobs", json={"model": "iris", "inputs": [IRIS_ROW]})
    changed = await http.patch(f"/jobs/{made.json()['id']}", json={"prioritty": 1})
    assert "Unknown field 'prioritty'. Did you mean 'priority'?" in messages(changed)


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("irsi", ["iris", "quality"], "iris"),
        ("SEPAL LENGTH", NAMES, "sepal_length"),
        ("zzz", ["iris"], None),
        ("iris", ["iris"], None),
        ("x" * 10**6, ["iris"], None),
    ],
)
def test_a_distant_name_is_not_suggested(name: str, known: list[str], found: str | None) -> None:
    assert nearest(name, known) == found
    assert did_you_mean(name, known) == ("" if found is None else f" Did you mean '{found}'?")


# -- wording -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "CSV parser got out of sync: straddling object straddles two block boundaries",
            "a line is longer than 1 MiB",
        ),
        ("Parquet magic bytes not found in footer.", "it does not end like a Parquet file"),
        (
            "zlib inflate failed: incorrect header check",
            "its compressed data is damaged or has another encoding",
        ),
        ("Expected to be able to read 64 bytes for message body, got 3", "it is cut off"),
        ("'PyObject' has no __frob__ at /usr/lib/arrow.cc:17", OTHERWISE),
    ],
)
def test_what_a_library_says_of_a_file_is_told_in_our_words(said: str, told: str) -> None:
    assert reason_of(OSError(said)) == told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"inputs": [[1, 2, 3, 4]]}, "field 'model' is missing"),
        ({"model": 1, "inputs": [[1]]}, "must be a text, not a whole number"),
        ({"model": "iris", "inputs": {}}, "must be a list, not an object"),
        ({"model": "iris", "inputs": []}, "must be a list of at least 1 items"),
        ({"model": "iris", "inputs": [[1]], "priority": 10}, "must be a whole number of at most 9"),
        ([], "must be an object, not a list"),
    ],
)
async def test_a_wrong_submission_is_told_in_the_words_of_json(stage: Stage, body: object, told: str) -> None:
    assert messages(await stage[1].post("/jobs", json=body)) == [told]


@pytest.mark.parametrize(
    "body", [[1], {"sepal_length": []}, {"inputs": [[1]]}, {"inputs": [{}, 1]}, "x", None]
)
async def test_no_answer_speaks_of_python(stage: Stage, body: object) -> None:
    for path in ("/models/iris/predict", "/models/iris/predict/batch"):
        text = (await stage[1].post(path, json=body)).text
        assert not re.search(
            r"dictionary|tuple|after validation|pydantic|msgspec|typed.?dict", text, re.IGNORECASE
        )


def test_what_a_model_raised_is_told_without_paths_addresses_and_advice() -> None:
    error = ValueError(
        "\x1b[1mcannot read /srv/models/iris/1.0.0/w.bin at 0x7f00deadbeef. Please see https://x.y/z. "
        "Consider raising the limit.\nTraceback …"
    )
    assert foreign_words(error) == "cannot read w.bin at …."
    assert foreign_words(ValueError("ratio of 3/4 km/h is too high")) == "ratio of 3/4 km/h is too high"
    assert len(foreign_words(ValueError("x" * 10**6))) <= 200


def test_every_error_of_ours_says_something_of_itself() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ServiceError)
    ]
    assert len(kinds) > 20
    assert all(errors.first_line(kind.__doc__) for kind in kinds)


async def test_what_is_refused_is_not_logged(stage: Stage) -> None:
    with structlog.testing.capture_logs() as events:
        await post(stage[1], b"secret_1,secret_2\nsecret_3,secret_4\n")
    assert "secret" not in str(events)
