"""An image model by raw body, form, Base64 and files of jobs: its answers are the network's own."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image, ImageOps
from PIL.Image import Resampling

from shared.repository import open_repository
from tests.support.callers import finished
from tests.support.servers import Server
from tests.support.stack import ROOT, Stack, running, wait_until_ready

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the image model, built."""
    from worker.models.build import build_model

    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "bench/models/vision", folder / "vision", ignore=shutil.ignore_patterns("1.*"))
    build_model(open_repository(folder), "vision")
    return folder


@pytest.fixture(scope="module")
def stack(queue: Server, vision: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with running(queue.url, folder, models_dir=str(vision), default_model="vision") as stack:
        stack.gateway()
        stack.worker("w1")
        wait_until_ready(stack)
        yield stack


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def photo(width: int = 300, height: int = 230, kind: str = "JPEG") -> bytes:
    small = Image.fromarray(RNG.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8))
    into = io.BytesIO()
    small.resize((width, height), Resampling.BICUBIC).save(into, kind)
    return into.getvalue()


PHOTOS = [photo(), photo(224, 224), photo(640, 480, "PNG"), photo(100, 400)]


def own_answers(models: Path, photos: list[bytes]) -> list[dict[str, Any]]:
    """The answers of the network itself, each image alone."""
    import torch

    from bench.models.vision.network import Vision

    network = Vision(classes=4)
    network.load_state_dict(torch.load(models / "vision/1.0.0/model.pt", weights_only=True))
    answers = []
    for data in photos:
        image = ImageOps.fit(Image.open(io.BytesIO(data)).convert("RGB"), (224, 224), Resampling.BILINEAR)
        pixels = np.asarray(image).astype(np.float32) / np.float32(255)
        with torch.inference_mode():
            logits = network.eval()(torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()))
            answers.append(torch.softmax(logits, 1)[0].double().tolist())
    classes = ["scratch", "dent", "stain", "ok"]
    return [{"defect": classes[int(np.argmax(one))], "probabilities": one} for one in answers]


def assert_own(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [one["defect"] for one in found] == [one["defect"] for one in expected]
    for one, other in zip(found, expected, strict=True):
        # torch may add in another order in a larger batch
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_raw_body_a_form_and_base64_have_the_networks_own_answer(vision: Path, http: httpx.Client) -> None:
    expected = own_answers(vision, PHOTOS)
    found = []
    for data, kind in zip(PHOTOS, ["image/jpeg", "image/jpeg", "image/png", "image/jpeg"], strict=True):
        answers = [
            http.post("/predict", content=data, headers={"content-type": kind}),
            http.post("/predict", files={"photo": ("photo", data, kind)}),
            http.post("/predict", json={"photo": in_base64(data)}),
            http.post("/predict", json={"photo": f"data:{kind};base64,{in_base64(data)}"}),
        ]
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
        assert len({answer.text for answer in answers}) == 1
        found.append(answers[0].json())
    assert_own(found, expected)
    batch = http.post("/predict/batch", json={"inputs": [{"photo": in_base64(one)} for one in PHOTOS]})
    assert_own(batch.json()["results"], expected)


def tables(photos: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """The same images in each format of jobs."""
    table = pa.table({"photo": pa.array(photos, pa.binary())})
    texts = [in_base64(one) for one in photos]
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pyarrow.parquet.write_table(table, parquet)
    with pa.ipc.new_stream(arrow, table.schema) as writer:
        writer.write_table(table)
    yield "application/vnd.apache.parquet", parquet.getvalue()
    yield "application/vnd.apache.arrow.stream", arrow.getvalue()
    yield "application/x-ndjson", b"".join(json.dumps({"photo": one}).encode() + b"\n" for one in texts)
    yield "text/csv", "\n".join(["photo", *texts, ""]).encode()


def test_jobs_take_images_in_every_format(vision: Path, http: httpx.Client) -> None:
    photos = PHOTOS * 3
    expected = own_answers(vision, photos)
    for media_type, body in tables(photos):
        answer = http.post(
            "/jobs", params={"model": "vision"}, content=body, headers={"content-type": media_type}
        )
        assert answer.status_code == 202, (media_type, answer.text)
        job = finished(http, answer.headers["location"])
        assert job["state"] == "succeeded", (media_type, job)
        results = http.get(f"/jobs/{job['id']}/results").json()["results"]
        assert_own(results, expected)


def test_a_damaged_image_fails_its_own_row_with_the_reason(vision: Path, http: httpx.Client) -> None:
    good = PHOTOS[0]
    damaged = good[:300] + bytes(200) + good[500:600] + good[-2:]  # it has its marks, and no image between
    alone = http.post("/predict", content=b"GIF89a", headers={"content-type": "image/jpeg"})
    assert alone.status_code == 422
    assert "photo" in alone.text
    assert "neither JPEG nor PNG" in alone.text
    broken = http.post("/predict", content=damaged, headers={"content-type": "image/jpeg"})
    assert broken.status_code == 422, broken.text
    assert "photo: cannot be decoded" in broken.text
    table = pa.table({"photo": pa.array([good, damaged, b"", good[:500], good], pa.binary())})
    body = io.BytesIO()
    pyarrow.parquet.write_table(table, body)
    answer = http.post(
        "/jobs",
        params={"model": "vision", "max_errors": "100%"},
        content=body.getvalue(),
        headers={"content-type": "application/vnd.apache.parquet"},
    )
    job = finished(http, answer.headers["location"])
    results = http.get(f"/jobs/{job['id']}/results").json()["results"]
    errors = [one.get("error") for one in results]
    assert [bool(error) for error in errors] == [False, True, True, True, False]
    assert "cannot be decoded" in errors[1]
    assert "is empty" in errors[2]
    assert "is cut off" in errors[3]


def test_other_media_types_and_forms_are_refused_clearly(http: httpx.Client) -> None:
    refused = http.post("/predict", content=b"x", headers={"content-type": "image/gif"})
    assert refused.status_code == 415
    unknown = http.post("/predict", files={"picture": ("p", PHOTOS[0], "image/jpeg")})
    assert unknown.status_code == 422
    assert "Unknown field" in unknown.text
    cut = http.post(
        "/predict",
        content=b'--b\r\nContent-Disposition: form-data; name="photo"\r\n\r\nabc',
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert cut.status_code == 422
    assert "truncated" in cut.text


def test_the_openapi_document_describes_images_and_stays_small(http: httpx.Client) -> None:
    answer = http.get("/openapi.json")
    body = answer.json()["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "image/jpeg", "image/png", "multipart/form-data"}
    assert len(answer.content) < 250_000
    assert len(json.dumps(http.get("/models/vision").json())) < 10_000
    example = body["application/json"]["example"]
    assert http.post("/predict", json=example).status_code == 200
