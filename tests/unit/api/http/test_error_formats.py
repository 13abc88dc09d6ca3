"""Formats of error bodies: `Accept` and the path select them."""

from __future__ import annotations

import json

import pytest

from api.http.error_answers import answer_of
from api.http.error_formats import INFERENCE, MLFLOW, PROBLEM, TAKT, ErrorFormat, format_of
from shared.errors import InvalidInputError, OverloadedError
from shared.input_problems import InputProblem

INVALID = InvalidInputError(
    "4 problem(s) in the input.",
    problems=[
        InputProblem(row=row, field="width", loc=["inputs", row, "width"], msg="Too wide", type="wide")
        for row in range(4)
    ],
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/problem+json", PROBLEM),
        ("application/json, application/problem+json", PROBLEM),
        ("application/problem+json;q=0.5, */*", PROBLEM),
        ("APPLICATION/PROBLEM+JSON ; charset=utf-8", PROBLEM),
        ("application/problem+json;q=0", TAKT),
        ("application/problem+json; q=0.0, application/json", TAKT),
        ("application/problem+jsonx", TAKT),
        ("*/*", TAKT),
        ("application/json", TAKT),
    ],
)
def test_accept_selects_problem_json(accept: str, expected: ErrorFormat) -> None:
    assert format_of("/predict", [(b"accept", accept.encode())]) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", INFERENCE),
        ("/v2/models/iris/infer", INFERENCE),
        ("/v2x", TAKT),
        ("/invocations", MLFLOW),
        ("/models/iris/invocations", MLFLOW),
        ("/jobs", TAKT),
    ],
)
def test_the_path_selects_the_format_of_its_protocol(path: str, expected: ErrorFormat) -> None:
    assert format_of(path, []) is expected
    assert format_of(path, [(b"accept", b"application/problem+json")]) is PROBLEM


def test_a_problem_has_the_members_of_rfc_9457_and_the_problems_of_the_rows() -> None:
    status, _, body = answer_of(INVALID, "r", PROBLEM)
    found = json.loads(body)
    assert status == found["status"] == 422
    assert found["type"] == "urn:takt:error:validation_error"
    assert found["title"] == "Unprocessable Entity"
    assert (found["code"], found["request_id"], len(found["problems"])) == ("validation_error", "r", 4)


@pytest.mark.parametrize("form", [INFERENCE, MLFLOW])
def test_other_protocols_name_the_rows_in_one_sentence_and_answer_400(form: ErrorFormat) -> None:
    status, _, body = answer_of(INVALID, "r", form)
    found = json.loads(body)
    sentence = found["error"] if form is INFERENCE else found["message"]
    assert status == 400
    assert sentence.startswith("Row 0, input 'width': Too wide. Row 1, input 'width': Too wide. ")
    assert sentence.endswith("1 more problem(s).")


def test_a_rejection_keeps_its_status_code_and_retry_after() -> None:
    status, headers, body = answer_of(OverloadedError(retry_after_s=2), "r", INFERENCE)
    assert status == 503
    assert (b"retry-after", b"2") in headers
    assert json.loads(body)["parameters"]["code"] == "overloaded"
    assert json.loads(answer_of(OverloadedError(), "r", MLFLOW)[2])["error_code"] == "TEMPORARILY_UNAVAILABLE"
