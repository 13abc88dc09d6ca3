"""The instructions of the READMEs and the guides work."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from api.app import create_app
from api.http.error_status import STATUS
from api.jobs.job_views import JobView
from shared.settings import Settings
from shared.spec_files import load_spec
from shared.specs import ModelSpec
from shared.validation import RowValidator
from tests.support.documents import ROOT, Curl, blocks, curls

README, KOREAN, HTTP_API = ROOT / "README.md", ROOT / "README.ko.md", ROOT / "docs" / "http-api.md"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), ROOT / "models" / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CURLS = [curl for path in (README, HTTP_API) for curl in curls(path)]


def name_of(value: Path | Curl) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else f"{value.method} {value.path}"


def spec_of(curl: Curl) -> ModelSpec:
    return load_spec(ROOT / "models" / curl.model / "model.toml")


def local_links(path: Path) -> list[tuple[Path, str]]:
    """File and anchor of each link that stays in the repository."""
    links = [link.partition("#") for link in LINK.findall(path.read_text()) if "://" not in link]
    return [(path.parent / name if name else path, anchor) for name, _, anchor in links]


def anchors(path: Path) -> set[str]:
    """GitHub's anchors of a document's headings."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# -- commands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [README, KOREAN, ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_every_make_target_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"^make ([a-z]+)", path.read_text(), re.MULTILINE))
    assert {"up", "test"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_ci_runs_the_test_command_that_the_readme_gives() -> None:
    assert ("bash", "make test") in blocks(README)
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()


def test_make_up_is_takt_up() -> None:
    recipe = re.search(r"^up: .*\n\t@?(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert recipe[1] == "$(BIN)/takt up"


# -- both languages ----------------------------------------------------------------------------------------


def test_both_readmes_give_the_same_commands_answers_and_pictures() -> None:
    assert len(blocks(README)) > 10
    assert blocks(KOREAN) == blocks(README)


def test_both_readmes_lead_to_the_same_documents() -> None:
    english, korean = (set(LINK.findall(path.read_text())) for path in (README, KOREAN))
    assert english - {"README.ko.md"} == korean - {"README.md"}


POLLING = re.compile(r".*(?:ntil its `state`|until `state`|`state`가).*")


def test_a_document_that_polls_a_job_names_each_state_that_ends_it() -> None:
    """Whoever asks until it has succeeded asks a failed job for ever."""
    sentences = {path: POLLING.findall(path.read_text()) for path in DOCUMENTS}
    assert all(sentences[path] for path in (README, KOREAN, ROOT / "docs" / "mes.md"))
    for path, found in sentences.items():
        for sentence in found:
            for state in ("succeeded", "failed", "canceled"):
                assert f"`{state}`" in sentence, path


# -- links -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(path: Path) -> None:
    for target, anchor in local_links(path):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target}#{anchor}"


def test_every_guide_is_in_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {target.resolve() for target, _ in local_links(index)}
    assert set((ROOT / "docs").glob("*.md")) - {index} <= linked


# -- examples ----------------------------------------------------------------------------------------------


def test_the_readme_shows_the_guides_three_calls_and_a_job_from_its_submission_to_its_results() -> None:
    paths = [re.sub("[0-9a-f]{32}", "ID", curl.path) for curl in curls(README)]
    assert paths == ["/health", "/predict", "/predict/batch", "/jobs", "/jobs/ID", "/jobs/ID/results"]


@pytest.mark.parametrize("curl", [curl for curl in CURLS if curl.body is not None], ids=name_of)
def test_a_shown_body_is_accepted_by_its_model(curl: Curl) -> None:
    validator = RowValidator(spec_of(curl))
    if curl.path == "/jobs":
        validator.read_rows(json.dumps(curl.body["inputs"]).encode(), 0)
    elif curl.path.endswith("/batch"):
        validator.read_batch(json.dumps(curl.body).encode())
    else:
        validator.read_one(json.dumps(curl.body).encode())


@pytest.mark.parametrize("curl", [curl for curl in CURLS if curl.predicts], ids=name_of)
def test_a_shown_answer_has_the_fields_that_its_model_declares(curl: Curl) -> None:
    spec = spec_of(curl)
    fields = [output.name for output in spec.outputs]
    if curl.path.endswith("/batch"):
        assert [list(result) for result in curl.answer["results"]] == [fields] * len(curl.body["inputs"])
        assert curl.answer["total_count"] == len(curl.body["inputs"])
    else:
        assert list(curl.answer) == fields + ["model_version"] * spec.response_model_version


def test_the_table_of_calls_is_the_gateways(tmp_path: Path) -> None:
    shown = re.findall(r"`([A-Z]+) (/[^`]*)`", HTTP_API.read_text().partition("\nPredictions are")[0])
    app = create_app(Settings(models_dir=ROOT / "models", payload_url=tmp_path.as_uri()))
    of_each_model = re.compile(r"/models/[a-z]+/.*predict|.*/batch|/v2.*")
    there = [
        (method.upper(), path.replace("{job_id}", "{id}"))
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if not of_each_model.fullmatch(path)
    ]
    own = {call for call in shown if not call[1].endswith(("/batch", "}/predict")) and "/v2" not in call[1]}
    assert own == set(there)


def test_the_table_of_the_inference_protocol_is_the_gateways(tmp_path: Path) -> None:
    table = (ROOT / "docs" / "inference-protocol.md").read_text().partition("\nEach call with")[0]
    shown = set(re.findall(r"`([A-Z]+) (/v2[^`]*)`", table))
    app = create_app(Settings(models_dir=ROOT / "models", payload_url=tmp_path.as_uri()))
    there = {
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path.startswith("/v2")
    }
    assert shown == {call for call in there if "{version}" not in call[1]}
    versions = {
        (method, path.replace("/versions/{version}", "")) for method, path in there if "{version}" in path
    }
    assert versions == {call for call in shown if "/v2/models/{model}" in call[1]}


def test_every_field_of_a_job_is_explained() -> None:
    table = HTTP_API.read_text().partition("A job's fields:")[2].partition("\n\nA job has")[0]
    named = [line.split(": ")[0] for line in table.splitlines() if line.startswith("- `")]
    assert {name for names in named for name in re.findall(r"`(\w+)`", names)} == set(JobView.model_fields)


def test_the_table_of_errors_is_the_gateways() -> None:
    rows = re.findall(r"^- (\d{3}): (`\w+`.*)$", HTTP_API.read_text(), re.MULTILINE)
    shown = {code: int(status) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    of_http = {"not_found": 404, "method_not_allowed": 405}  # the web framework's own
    assert shown == STATUS | of_http
