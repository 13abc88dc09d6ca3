"""Clients of the guide's service work unchanged, through the queue."""

from __future__ import annotations

import httpx
import pytest

from tests.support.callers import IRIS, finished
from tests.support.stack import Stack

pytestmark = pytest.mark.integration


def test_predict_answers_as_the_guide_does(http: httpx.Client) -> None:
    answer = http.post("/predict", json=IRIS)
    assert answer.status_code == 200
    assert answer.json() == {"prediction": "setosa", "confidence": 1.0, "model_version": "1.0.0"}


def test_predict_batch_answers_as_the_guide_does(http: httpx.Client) -> None:
    answer = http.post("/predict/batch", json={"inputs": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}).json()
    assert [result["prediction"] for result in answer["results"]] == ["setosa", "virginica"]
    assert {tuple(result) for result in answer["results"]} == {("prediction", "confidence")}
    assert answer["total_count"] == 2


def test_the_torch_classifier_answers_as_the_guide_does(http: httpx.Client) -> None:
    answer = http.post("/models/classifier/predict", json={"features": [0.1] * 10}).json()
    assert list(answer) == ["predicted_class", "probabilities"]
    assert sum(answer["probabilities"]) == pytest.approx(1.0, abs=2e-4)
    assert answer["probabilities"][answer["predicted_class"]] == max(answer["probabilities"])
    assert all(round(p, 4) == p for p in answer["probabilities"])


def test_health_and_model_info_answer_as_the_guide_does(http: httpx.Client) -> None:
    health = http.get("/health").json()
    assert health["status"] == "healthy"
    assert health["uptime_seconds"] >= 0
    assert set(health["models_loaded"]) == {"iris", "classifier", "quality"}
    assert http.get("/model-info").json() == {
        "model_name": "iris",
        "model_version": "1.0.0",
        "framework": "scikit-learn",
        "input_features": list(IRIS),
        "description": "Iris 품종 분류 모델 (RandomForest)",
    }


def test_a_wrong_row_is_422_with_its_row_and_field(http: httpx.Client) -> None:
    answer = http.post("/predict/batch", json={"inputs": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 52, 2.3]]})
    assert answer.status_code == 422
    body = answer.json()
    assert body["error"] == "validation_error"
    assert [(problem["row"], problem["field"]) for problem in body["detail"]] == [(1, "petal_length")]


@pytest.mark.parametrize("rows", [0, 1001])
def test_a_batch_holds_1_to_1000_rows(http: httpx.Client, rows: int) -> None:
    answer = http.post("/predict/batch", json={"inputs": [[5.1, 3.5, 1.4, 0.2]] * rows})
    assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")


def test_an_unknown_model_is_404(http: httpx.Client) -> None:
    answer = http.post("/models/nothing/predict", json=IRIS)
    assert (answer.status_code, answer.json()["error"]) == (404, "model_not_found")


def test_a_1000_row_job_is_accepted_polled_and_read(http: httpx.Client) -> None:
    submitted = http.post("/jobs", json={"model": "iris", "inputs": [[5.1, 3.5, 1.4, 0.2]] * 1000})
    assert submitted.status_code == 202
    assert int(submitted.headers["Retry-After"]) >= 1
    job = finished(http, submitted.headers["Location"])
    assert (job["state"], job["rows_total"]) == ("succeeded", 1000)
    assert (job["rows_succeeded"], job["rows_failed"]) == (1000, 0)
    results = http.get(job["links"]["results"]).json()
    assert results["results"] == [{"prediction": "setosa", "confidence": 1.0}] * 1000


def test_the_health_command_tells_a_serving_worker_from_none(stack: Stack) -> None:
    assert stack.healthy("worker") == 0
    assert stack.healthy("nobody") == 1


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_documentation_pages_need_no_internet(http: httpx.Client, page: str) -> None:
    html = http.get(page).raise_for_status().text
    links = [part.split('"')[0] for attribute in ('src="', 'href="') for part in html.split(attribute)[1:]]
    assert links
    for link in links:
        if link.startswith("data:"):
            continue
        assert not link.startswith("http"), link
        assert http.get(link).is_success, link
