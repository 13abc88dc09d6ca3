"""The model store on a running stack: publish, deploy, pull and remove, in a folder and in a bucket."""

from __future__ import annotations

import io
import shutil
import signal
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.object_stores import CREDENTIALS, S3, s3_server
from tests.support.polling import eventually
from tests.support.processes import named_members
from tests.support.servers import Server, free_port, valkey_binary
from tests.support.stack import Part, Stack, running
from tests.support.version_archives import archive_of, packed, version_archive, version_files

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PATH = "/models/double/versions"
PREDICT = "/models/double/predict"
SCALED = b"""
class Model:
    def load(self, folder):
        self.factor = float((folder / "factor.txt").read_text())

    def predict(self, columns):
        return columns["x"] * self.factor
"""
DECLARATION = b"""
name = "scaled"
framework = "python"
default_version = "2.0.0"

[[inputs]]
name = "x"
type = "float"
example = 1.0

[[outputs]]
name = "y"
view = "value"

[[golden]]
inputs = { x = 2.0 }
outputs = { y = 6.0 }
"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with pytest.MonkeyPatch.context() as patch, s3_server() as server:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module", params=["folder", "s3"])
def stack(
    request: pytest.FixtureRequest, s3: S3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Part]]:
    """Two gateways and a worker, without any model."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "store").mkdir()
    settings = {
        "models_url": s3.url("models") if request.param == "s3" else str(folder / "store"),
        "models_cache_dir": str(folder / "cache"),
        "default_model": "double",
        "verify_limit_s": "20",
        "max_version_bytes": "1MiB",
    }
    with Server(valkey_binary(), folder) as queue, running(queue.url, folder, **settings) as stack:
        stack.gateway()
        second = stack.gateway("second", port=free_port(), models_cache_dir=str(folder / "second"))
        stack.worker("w1")
        yield stack, second


@pytest.fixture
def clients(stack: tuple[Stack, Part]) -> Iterator[list[httpx.Client]]:
    found = [httpx.Client(base_url=one.url, timeout=90, verify=False) for one in stack]
    yield found
    for http in found:
        http.close()


def send(http: httpx.Client, archive: bytes, path: str = PATH, **headers: str) -> httpx.Response:
    return http.post(path, content=archive, headers={"Content-Type": "application/x-tar"} | headers)


def deploy(http: httpx.Client, *wanted: str, default: str, model: str = "double") -> None:
    answer = http.put(f"/models/{model}/deployment", json={"wanted": wanted, "default": default})
    assert answer.status_code == 200, answer.text


def answers(http: httpx.Client, version: str, path: str = PREDICT) -> bool:
    answer = http.post(path, json={"x": 2.0})
    return answer.status_code == 200 and answer.headers["x-model-version"] == version


def test_a_model_that_nobody_knew_is_published_and_deployed_without_a_restart(
    clients: list[httpx.Client], tmp_path: Path
) -> None:
    first, second = clients
    archive = version_archive(tmp_path, "double")
    answer = send(first, archive)
    assert answer.status_code == 201, answer.text
    view = answer.json()
    assert (view["state"], view["version"], view["published_by"]) == ("published", "1.0.0", "anonymous")
    assert send(second, packed(archive)).status_code == 200, "the same version again"
    assert not answers(second, "1.0.0"), "nothing is served without a deployment"
    deploy(first, "1.0.0", default="1.0.0")
    for http in clients:
        eventually(partial(answers, http, "1.0.0"), limit_s=60)
        assert PREDICT in http.get("/openapi.json").json()["paths"]
        eventually(partial(_refuses, http), limit_s=60)
    (listed,) = second.get(PATH).json()["versions"]
    assert (listed["version"], listed["state"], listed["deployed"]) == ("1.0.0", "published", True)


def test_other_content_under_the_same_version_is_refused(clients: list[httpx.Client], tmp_path: Path) -> None:
    first, _ = clients
    files = version_files(tmp_path, "double")
    send(first, archive_of(files))
    declaration = files["model.toml"].replace(b'type = "float"', b'type = "float32"')
    answer = send(first, archive_of(files | {"model.toml": declaration}))
    assert answer.status_code == 409, answer.text
    assert (answer.json()["error"], "other content" in answer.text) == ("version_exists", True)


def test_a_folder_without_a_manifest_is_published_and_pulled_whole(clients: list[httpx.Client]) -> None:
    first, second = clients
    files = {"model.toml": DECLARATION, "model.py": SCALED, "factor.txt": b"3.0"}
    answer = send(first, archive_of(files), "/models/scaled/versions")
    assert answer.status_code == 201, answer.text
    pulled = second.get("/models/scaled/versions/2.0.0/archive")
    assert pulled.headers["content-length"] == str(len(pulled.content))
    with tarfile.open(fileobj=io.BytesIO(pulled.content)) as entries:
        found = {one.name: entries.extractfile(one).read() for one in entries}  # type: ignore[union-attr]
    assert found.items() >= files.items()
    assert found.keys() == {*files, "manifest.json"}
    assert send(second, pulled.content, "/models/scaled/versions").status_code == 200
    verified = second.post("/models/scaled/versions/2.0.0/verify").json()
    assert (verified["ok"], verified["problem"]) == (True, "")


def test_a_version_that_a_worker_refuses_does_not_reach_the_store(
    clients: list[httpx.Client], tmp_path: Path
) -> None:
    first, second = clients
    wrong = {"model.toml": DECLARATION, "model.py": SCALED, "factor.txt": b"4.0"}
    answer = send(first, archive_of(wrong), "/models/scaled/versions?version=2.1.0")
    assert answer.status_code == 422, answer.text
    assert "does not verify" in answer.text
    for how in ("segfaults", "exits", "hangs"):
        archive = version_archive(tmp_path / how, "fatal", unpickles=how)
        answer = send(first, archive, "/models/fatal/versions", Prefer="wait=50")
        assert answer.status_code == 422, answer.text
        assert "the process that verified it" in answer.text or "TAKT_VERIFY_LIMIT_S" in answer.text
    (listed,) = second.get("/models/fatal/versions").json()["versions"]
    assert listed["state"] == "refused"
    assert "fatal" not in {one["name"] for one in second.get("/models").json()["models"]}
    deployed = first.put("/models/fatal/deployment", json={"wanted": ["1.0.0"], "default": "1.0.0"})
    assert deployed.status_code == 404


def test_wrong_archives_are_refused_with_the_reason(clients: list[httpx.Client], tmp_path: Path) -> None:
    first, _ = clients
    files = version_files(tmp_path, "other")
    path = "/models/other/versions"
    for archive, status, words in (
        (b"no archive", 422, "not a tar archive"),
        (archive_of({}), 422, "has no model.toml"),
        (archive_of(files | {"../evil": b""}), 422, "not a path inside"),
        (archive_of(files | {"model.joblib": b"changed"}), 422, "SHA-256"),
        (archive_of(files | {"large.bin": bytes(2 * 2**20)}), 413, "larger than"),
    ):
        answer = send(first, archive, path)
        assert answer.status_code == status, answer.text
        assert words in answer.text
    assert send(first, archive_of(files), "/models/another/versions").status_code == 422
    assert first.get(path).status_code == 404


def test_a_version_in_use_is_not_removed(clients: list[httpx.Client], tmp_path: Path) -> None:
    first, second = clients
    send(first, version_archive(tmp_path, "double"))
    assert send(first, version_archive(tmp_path / "new", "double", "1.1.0")).status_code == 201
    deploy(first, "1.0.0", "1.1.0", default="1.0.0")
    eventually(partial(answers, second, "1.0.0"), limit_s=60)
    waiting = first.post("/jobs", json={"model": "double", "version": "1.1.0", "inputs": [{"x": 1.0}]})
    assert waiting.status_code == 202, waiting.text
    for version, words in (("1.0.0", "the default"), ("1.1.0", "takt deploy")):
        answer = second.delete(f"{PATH}/{version}")
        assert answer.status_code == 409, answer.text
        assert words in answer.text
    deploy(first, "1.1.0", default="1.1.0")
    for http in clients:
        eventually(partial(answers, http, "1.1.0"), limit_s=60)
    assert second.delete(f"{PATH}/1.0.0").status_code == 204
    assert second.delete(f"{PATH}/1.0.0").status_code == 404
    for http in clients:
        eventually(partial(_is_gone, http), limit_s=30)
    assert first.post("/models/double/rollback").status_code == 404, "its target is gone"


def _refuses(http: httpx.Client) -> bool:
    """Whether a row without the declared field is refused, however busy the machine is."""
    return http.post(PREDICT, json={"y": 2.0}).status_code == 422


def _is_gone(http: httpx.Client) -> bool:
    return http.post(f"{PATH}/1.0.0/predict", json={"x": 1.0}).status_code == 404


def test_a_version_with_an_unfinished_job_is_not_removed(clients: list[httpx.Client], tmp_path: Path) -> None:
    first, _ = clients
    send(first, version_archive(tmp_path, "double", "1.2.0"))
    job = first.post("/jobs", json={"model": "double", "version": "1.2.0", "inputs": [{"x": 1.0}]}).json()
    answer = first.delete(f"{PATH}/1.2.0")
    assert answer.status_code == 409, answer.text
    assert job["id"] in answer.text
    assert first.post(f"/jobs/{job['id']}/cancel").status_code in (200, 202)
    assert first.delete(f"{PATH}/1.2.0").status_code == 204


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stack, Callable[[], None]]]:
    """A stack on an object store that can be taken away."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as store, Server(valkey_binary(), tmp_path) as queue:
        settings = {"models_url": store.url("models"), "default_model": "double"}
        with running(queue.url, tmp_path, models_cache_dir=str(tmp_path / "cache"), **settings) as stack:
            yield stack, store.stop


def test_workers_and_gateways_restart_while_the_object_store_is_away(
    alone: tuple[Stack, Callable[[], None]], tmp_path: Path
) -> None:
    stack, take_store_away = alone
    stack.gateway()
    worker = stack.worker("w1")
    with stack.client(timeout_s=90) as http:
        assert send(http, version_archive(tmp_path / "double", "double")).status_code == 201
        deploy(http, "1.0.0", default="1.0.0")
        eventually(partial(answers, http, "1.0.0"), limit_s=60)
        take_store_away()
        for name in ("takt-worker", "takt-forkserver"):
            before = named_members(worker.pid, name)
            worker.tell_inside(name, signal.SIGKILL)
            eventually(partial(_is_new, worker, name, before), limit_s=60)
            eventually(partial(answers, http, "1.0.0"), limit_s=60)
        worker.end()
        stack.worker("w1")
        eventually(partial(answers, http, "1.0.0"), limit_s=60)
        assert http.delete(f"{PATH}/1.0.0").status_code in (409, 503)
    stack.parts["gateway"].end()
    stack.gateway()
    with stack.client() as http:
        eventually(partial(answers, http, "1.0.0"), limit_s=60)
        answer = send(http, version_archive(tmp_path / "next", "double", "1.1.0"))
        assert answer.status_code == 503, answer.text


def _is_new(part: Part, name: str, before: list[int]) -> bool:
    now = named_members(part.pid, name)
    return bool(now) and not set(now) & set(before)


def test_a_version_that_was_changed_in_the_object_store_is_not_opened(
    alone: tuple[Stack, Callable[[], None]], tmp_path: Path
) -> None:
    import obstore

    from shared.errors import ModelStoreError
    from shared.object_stores import open_object_store

    stack, _ = alone
    stack.gateway()
    stack.worker("w1")
    with stack.client(timeout_s=90) as http:
        assert send(http, version_archive(tmp_path / "double", "double")).status_code == 201
        url = stack.setting("models_url")
        obstore.put(open_object_store(url, ModelStoreError), "double/1.0.0/model.joblib", b"changed")
        shutil.rmtree(tmp_path / "cache" / "files")
        (tmp_path / "cache" / "files").mkdir()
        deploy(http, "1.0.0", default="1.0.0")
        (state,) = eventually(lambda: _failed(http), limit_s=60)
        assert "SHA-256 in the model store" in state["failures"][0]


def _failed(http: httpx.Client) -> list[dict[str, list[str]]]:
    versions = http.get("/models/double/deployment").json()["versions"]
    return [one for one in versions if one["state"] == "failed"]
