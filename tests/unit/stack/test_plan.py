"""The plan of `takt up` is validated before anything starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from shared.cpu_cores import default_workers
from shared.errors import ModelNotFoundError, SpecError
from stack.command_errors import CommandError
from stack.plan import Plan, check_port, default_gateways, make_plan, read_settings

SPEC = """
name = "{name}"
framework = "scikit-learn"
device = "{device}"
default_version = "1.0.0"

[[inputs]]
name = "x"
type = "float"
example = 1.5

[[outputs]]
name = "y"
view = "value"
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name, device in (("apple", "any"), ("iris", "cpu"), ("zebra", "gpu")):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        (folder / "model.toml").write_text(SPEC.format(name=name, device=device))
    return tmp_path / "models"


def plan(models_dir: Path, *, workers: int | None = None, **given: object) -> Plan:
    return make_plan(models_dir.parent / "stack", workers, {"models_dir": models_dir, "port": 0, **given})


def served(made: Plan) -> list[str]:
    return [spec.name for spec in made.models]


def test_the_default_model_stands_first_and_models_for_another_device_are_left_out(models: Path) -> None:
    assert served(plan(models)) == ["iris", "apple"]
    assert served(plan(models, device="cuda:0")) == ["apple", "zebra"]


def test_without_the_default_model_the_first_served_model_is_the_default(models: Path) -> None:
    made = plan(models, models="apple")
    assert made.environment("redis://x")["default_model"] == "apple"


def test_an_unknown_model_is_refused_with_those_there_are(models: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'pear'; there are: apple, iris, zebra"):
        plan(models, models="iris,pear")


def test_a_model_that_does_not_run_on_the_device_is_refused(models: Path) -> None:
    with pytest.raises(CommandError, match="no chosen model runs on cpu: zebra"):
        plan(models, models="zebra")


def test_a_missing_models_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such folder"):
        plan(tmp_path / "models")


def test_an_empty_models_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(CommandError, match="contains no model"):
        plan(tmp_path / "models")


def break_spec(models: Path, name: str) -> None:
    wrong = models / name / "model.toml"
    wrong.write_text(wrong.read_text().replace('type = "float"', 'type = "flaot"'))


def test_a_wrong_spec_is_reported_with_file_and_key_and_the_others_are_served(models: Path) -> None:
    break_spec(models, "apple")
    made = plan(models)
    assert served(made) == ["iris"]
    assert "apple/model.toml: inputs[0].type: " in made.problems[0]
    assert plan(models, models="iris").problems == ()
    with pytest.raises(CommandError, match=r"apple/model\.toml: inputs\[0\]\.type: "):
        plan(models, models="apple")


def test_a_wrong_default_model_hands_predict_to_no_other(models: Path) -> None:
    break_spec(models, "iris")
    made = plan(models)
    assert (served(made), made.default_model) == (["apple"], "iris")
    assert plan(models, models="apple").default_model == "apple"


def test_versions_that_are_not_the_default_can_be_served(models: Path) -> None:
    made = plan(models, models="iris@1.1.0,iris@1.0.0,apple")
    assert served(made) == ["iris", "apple"]
    assert made.environment("redis://x")["models"] == "iris@1.0.0,iris@1.1.0,apple"
    assert made.unbuilt() == ["iris@1.0.0", "iris@1.1.0", "apple"]
    with pytest.raises(CommandError, match="'iris@latest' is not a version"):
        plan(models, models="iris@latest")
    with pytest.raises(ModelNotFoundError, match="no model 'pear'"):
        plan(models, models="pear@1.0.0")


def test_models_without_an_artifact_are_found(models: Path) -> None:
    built = models / "iris" / "1.0.0"
    built.mkdir()
    (built / "manifest.json").touch()
    assert plan(models).unbuilt() == ["apple"]


def test_a_wrong_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAKT_PORT", "se7en")
    with pytest.raises(CommandError, match="TAKT_PORT") as refusal:
        read_settings()
    assert "se7en" not in refusal.value.detail


def test_an_existing_queue_is_used_if_an_option_or_the_environment_names_it(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan(models).redis_url is None
    assert plan(models, redis_url="redis://option").redis_url == "redis://option"
    monkeypatch.setenv("TAKT_REDIS_URL", "redis://environment")
    assert plan(models).redis_url == "redis://environment"


@pytest.mark.parametrize(
    ("device", "cores", "gateways", "workers"),
    [
        *(("cpu", 1, 1, 1), ("cpu", 2, 1, 1), ("cpu", 4, 1, 3), ("cpu", 8, 2, 6), ("cpu", 16, 4, 12)),
        ("cuda:0", 8, 2, 1),
    ],
)
def test_a_quarter_of_the_cores_serves_http_the_rest_computes_and_a_gpu_has_one_worker(
    device: str, cores: int, gateways: int, workers: int
) -> None:
    assert default_gateways(cores) == gateways
    assert default_workers(device, cores, gateways) == workers


def test_the_number_of_gateways_is_an_option_or_a_setting(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAKT_GATEWAYS", "3")
    assert plan(models).environment("redis://x")["gateways"] == "3"
    assert plan(models, gateways=2).environment("redis://x")["gateways"] == "2"


@pytest.mark.parametrize(("first", "port"), [(None, "0"), (0, "0"), (9464, "9464")])
def test_workers_always_export_metrics(models: Path, first: int | None, port: str) -> None:
    environment = plan(models, workers=2, worker_metrics_port=first).worker_environment()
    assert (environment["worker_metrics_port"], environment["workers"]) == (port, "2")


def test_fewer_workers_than_1_are_refused(models: Path) -> None:
    with pytest.raises(CommandError, match="must be at least 1"):
        plan(models, workers=0)


def test_a_taken_port_is_refused_with_another_to_take() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        with pytest.raises(
            CommandError, match=rf"port {port} on 127\.0\.0\.1 is in use.*takt up --port {port + 1}"
        ):
            check_port("127.0.0.1", port)


def test_an_address_that_is_not_this_machines_is_refused() -> None:
    with pytest.raises(CommandError, match=r"cannot listen on 192\.0\.2\.1"):
        check_port("192.0.2.1", 8000)


@pytest.mark.parametrize(
    ("host", "reached_at", "exposed"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("localhost", "localhost", False),
        ("0.0.0.0", "127.0.0.1", True),
        ("::1", "[::1]", False),
        ("::", "[::1]", True),
    ],
)
def test_the_shown_url_is_reachable_from_this_machine(
    models: Path, host: str, reached_at: str, exposed: bool
) -> None:
    made = plan(models, host=host)
    assert made.http_url == f"http://{reached_at}:{made.settings.port}"
    assert made.exposed is exposed
