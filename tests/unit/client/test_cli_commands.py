"""The client commands: output, errors and exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from typer.testing import CliRunner

from takt.cli import app
from takt.commands.inputs import read_inputs
from tests.unit.client.client_fakes import Handler, Serve, job, refusal

RUNNER = CliRunner()


def service(ended: dict[str, Any], results: bytes = b'{"prediction":"setosa"}\n') -> Handler:
    """Accepts every job, and reports a job that has ended."""

    def answer(request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path.rsplit("/", 1)[-1]:
            case "POST", "jobs":
                return httpx.Response(202, json=job("queued", rows_succeeded=0))
            case "GET", "events":
                return httpx.Response(200, text=f"id: 1-0\nevent: end\ndata: {json.dumps(ended)}\n\n")
            case "GET", "results" | "errors":
                return httpx.Response(200, content=results)
            case "DELETE", _:
                return httpx.Response(204)
            case _:
                return httpx.Response(200, json=ended)

    return answer


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ('{"x": 1}', {"x": 1}),
        ("[1, 2]", [[1, 2]]),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        (' [{"x": 1}]', [{"x": 1}]),
    ],
)
def test_a_row_or_rows_are_read_from_text_file_and_standard_input(
    text: str, inputs: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.json").write_text(text)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert read_inputs(text) == read_inputs(str(tmp_path / "rows.json")) == read_inputs("-") == inputs


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "["],
        ["predict", "[]"],
        ["predict", "nowhere.json"],
        ["submit", "[[1]]"],
        ["submit", "[[1]]", "-m", "iris", "-o", "out.xyz"],
        ["submit", __file__, "-m", "iris"],
        ["submit", "[[1]]", "-m", "iris", "--priority", "10"],
    ],
)
def test_wrong_usage_is_exit_code_2_and_nothing_is_sent(arguments: list[str], serve: Serve) -> None:
    asked: list[httpx.Request] = []
    serve(lambda request: asked.append(request) or httpx.Response(500))  # type: ignore[func-returns-value]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert asked == []


def test_a_submission_prints_the_job_its_id_first(serve: Serve) -> None:
    serve(service(job()))
    result = RUNNER.invoke(app, ["submit", "[[1, 2]]", "-m", "iris"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "j1  queued  iris@1.0.0  0 of 2 rows\n"


def test_each_problem_of_a_refused_call_is_on_a_line_of_its_own(serve: Serve) -> None:
    problems = [
        {"row": row, "field": "x", "loc": ["inputs", row, "x"], "msg": "is missing", "type": "missing"}
        for row in (0, 3)
    ]
    serve(lambda _: refusal(422, "validation_error", problems))
    result = RUNNER.invoke(app, ["submit", "[[1], [2]]", "-m", "iris"])
    assert (result.exit_code, result.stdout) == (1, "")
    first, *lines = result.stderr.splitlines()
    assert first.startswith("takt: ")
    assert "is missing" not in first
    assert [line.split(",")[0] for line in lines] == ["  row 0", "  row 3"]
    assert all(line.count("is missing") == 1 for line in lines)


def test_each_problem_of_a_check_is_on_a_line_of_its_own(serve: Serve) -> None:
    problems = [
        {"row": 1, "line": 3, "reason": "x is missing; y is missing"},
        {"row": 4, "line": None, "reason": "y is missing"},
    ]
    counts = {"rows_total": 5, "rows_valid": 3, "rows_invalid": 2}
    report = {"valid": False, "problems": problems, "ignored_columns": []} | counts
    serve(lambda _: httpx.Response(200, json=report))
    result = RUNNER.invoke(app, ["submit", "[[1], [2]]", "-m", "iris", "--validate-only"])
    assert (result.exit_code, result.stdout.splitlines()) == (
        1,
        ["5 rows, 2 invalid", "row 1 (line 3): x is missing; y is missing", "row 4: y is missing"],
    )


@pytest.mark.parametrize(("valid", "code"), [(True, 0), (False, 1)])
def test_a_check_prints_its_report_and_exits_by_it(valid: bool, code: int, serve: Serve) -> None:
    problems = [] if valid else [{"row": 1, "line": 3, "reason": "x is missing"}]
    counts = {"rows_total": 2, "rows_valid": 2 - len(problems), "rows_invalid": len(problems)}
    report = {"valid": valid, "problems": problems, "ignored_columns": ["lot"]} | counts
    asked: list[httpx.Request] = []
    serve(lambda request: asked.append(request) or httpx.Response(200, json=report))  # type: ignore[func-returns-value]
    arguments = ["submit", "[[1], [2]]", "-m", "iris", "--validate-only"]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == code, result.output
    assert result.stdout.splitlines() == (
        ["2 rows, valid; ignored columns: lot"]
        if valid
        else ["2 rows, 1 invalid; ignored columns: lot", "row 1 (line 3): x is missing"]
    )
    assert json.loads(RUNNER.invoke(app, [*arguments, "--json"]).stdout) == report
    assert all(json.loads(request.content)["validate_only"] for request in asked)


def test_file_options_are_sent_to_the_service(serve: Serve, tmp_path: Path) -> None:
    asked: list[httpx.Request] = []
    serve(lambda request: asked.append(request) or httpx.Response(202, json=job()))  # type: ignore[func-returns-value]
    said = {
        "quote": "'",
        "decimal": ",",
        "delimiter": ";",
        "expires_in_s": "60.0",
        "webhook_url": "https://mes/x",
    }
    (tmp_path / "rows.csv").write_text("x\n1\n")
    options = [word for name, value in said.items() for word in (f"--{name.replace('_', '-')}", value)]
    result = RUNNER.invoke(app, ["submit", str(tmp_path / "rows.csv"), "-m", "iris", *options])
    assert result.exit_code == 0, result.output
    assert dict(asked[0].url.params) == said | {"model": "iris"}


def test_waiting_ends_with_the_file_and_a_line(serve: Serve, tmp_path: Path) -> None:
    serve(service(job()))
    output = tmp_path / "out.ndjson"
    result = RUNNER.invoke(app, ["submit", "[[1, 2]]", "-m", "iris", "--wait", "-o", str(output), "--json"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == job()
    assert output.read_bytes() == b'{"prediction":"setosa"}\n'


def test_results_may_go_to_standard_output_alone(serve: Serve) -> None:
    serve(service(job()))
    for arguments in (["submit", "[[1, 2]]", "-m", "iris", "-o", "-"], ["results", "j1"], ["errors", "j1"]):
        assert RUNNER.invoke(app, arguments).stdout == '{"prediction":"setosa"}\n'


@pytest.mark.parametrize(
    ("handler", "code", "words"),
    [
        (
            service(job("failed", error={"code": "x", "detail": "the model raised"})),
            4,
            "j1 failed: the model",
        ),
        (service(job("canceled")), 5, "j1 canceled"),
        (lambda _: refusal(404, "model_not_found", "no model iris"), 1, "model_not_found: no model iris"),
        (lambda _: refusal(503, "overloaded", "too much", **{"Retry-After": "0"}), 3, "overloaded: too much"),
    ],
)
def test_each_outcome_has_its_exit_code_and_message(
    handler: Handler, code: int, words: str, serve: Serve
) -> None:
    serve(handler)
    result = RUNNER.invoke(app, ["submit", "[[1, 2]]", "-m", "iris", "--wait"])
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr


def test_ctrl_c_leaves_the_job_running_and_prints_how_to_watch_it(serve: Serve) -> None:
    def interrupted(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            raise KeyboardInterrupt
        return service(job())(request)

    serve(interrupted)
    result = RUNNER.invoke(app, ["submit", "[[1, 2]]", "-m", "iris", "--wait"])
    assert result.exit_code == 130
    assert "job j1 continues: takt watch j1" in result.stderr


@pytest.mark.parametrize("action", ["status", "watch", "cancel", "pause", "resume"])
def test_a_job_is_shown_by_its_id(action: str, serve: Serve) -> None:
    serve(service(job(reference="lot 7")))
    result = RUNNER.invoke(app, [action, "j1"])
    assert (result.exit_code, result.stdout) == (0, "j1  succeeded  iris@1.0.0  2 of 2 rows\n")
    assert json.loads(RUNNER.invoke(app, [action, "j1", "--json"]).stdout) == job(reference="lot 7")


@pytest.mark.parametrize(
    ("outlook", "words"),
    [
        ({"eta_s": 60.0, "eta_low_s": 40.0, "eta_high_s": 95.4}, "  ends in 40 to 95 s"),
        ({"eta_s": 60.0}, "  ends in about 60 s"),
        ({"eta_s": 60.0, "eta_low_s": None, "eta_high_s": None}, "  ends in about 60 s"),
        ({}, ""),
    ],
)
def test_when_a_job_ends_is_a_range_if_the_service_gives_one(
    outlook: dict[str, Any], words: str, serve: Serve
) -> None:
    serve(service(job("running", **outlook)))
    line = RUNNER.invoke(app, ["status", "j1"]).stdout
    assert line == f"j1  running  iris@1.0.0  2 of 2 rows{words}\n"


def test_deleting_a_job_prints_nothing(serve: Serve) -> None:
    serve(service(job()))
    result = RUNNER.invoke(app, ["delete", "j1"])
    assert (result.exit_code, result.output) == (0, "")


def test_jobs_in_a_pipe_are_lines_of_columns(serve: Serve) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        assert dict(request.url.params) == {"state": "succeeded", "tag": "mes"}
        return httpx.Response(200, json={"jobs": [job(id="a", reference="lot 7"), job(id="b")], "next": None})

    serve(page)
    result = RUNNER.invoke(app, ["jobs", "--state", "succeeded", "--tag", "mes"])
    assert [line.split("\t")[:5] for line in result.stdout.splitlines()] == [
        [name, "succeeded", "iris@1.0.0", "2 of 2", "0"] for name in ("a", "b")
    ]
    (first, *_) = RUNNER.invoke(
        app, ["jobs", "--state", "succeeded", "--tag", "mes", "--json"]
    ).stdout.splitlines()
    assert json.loads(first)["reference"] == "lot 7"


def test_a_file_that_cannot_be_read_or_written_is_an_error_message(serve: Serve, tmp_path: Path) -> None:
    serve(service(job()))
    for arguments in (
        ["submit", str(tmp_path / "nowhere.csv"), "-m", "iris"],
        ["results", "j1", "-o", str(tmp_path / "nowhere" / "out.csv")],
    ):
        result = RUNNER.invoke(app, arguments)
        assert result.exit_code == 1
        assert "No such file or directory" in result.stderr


@pytest.mark.parametrize("place", ["nowhere/out.csv", "folder.csv", "file.csv/out.csv", "out.csv/"])
@pytest.mark.parametrize("command", [["submit", "[[1]]", "-m", "iris"], ["results", "j1"], ["errors", "j1"]])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_sent(
    command: list[str], place: str, serve: Serve, tmp_path: Path
) -> None:
    asked: list[httpx.Request] = []
    serve(lambda request: asked.append(request) or httpx.Response(500))  # type: ignore[func-returns-value]
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file.csv").write_text("kept")
    result = RUNNER.invoke(app, [*command, "-o", f"{tmp_path}/{place}"])
    assert (result.exit_code, asked) == (1, []), result.output
    assert place in result.stderr
    assert ".part" not in result.stderr


def test_a_folder_that_is_not_writable_is_refused_before_anything_is_sent(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "a temporary name")

    asked: list[httpx.Request] = []
    serve(lambda request: asked.append(request) or httpx.Response(500))  # type: ignore[func-returns-value]
    monkeypatch.setattr(Path, "open", refuse)  # root may write everywhere
    result = RUNNER.invoke(app, ["submit", "[[1]]", "-m", "iris", "-o", str(tmp_path / "out.csv")])
    assert (result.exit_code, asked) == (1, [])
    assert "out.csv: Permission denied" in result.stderr


def test_a_check_of_the_output_leaves_the_folder_and_the_file_as_they_are(
    serve: Serve, tmp_path: Path
) -> None:
    serve(service(job("failed", error={"code": "x", "detail": "the model raised"})))
    output = tmp_path / "out.ndjson"
    output.write_text("before")
    result = RUNNER.invoke(app, ["submit", "[[1, 2]]", "-m", "iris", "-o", str(output)])
    assert result.exit_code == 4
    assert [path.name for path in tmp_path.iterdir()] == ["out.ndjson"]
    assert output.read_text() == "before"


def test_a_service_that_is_not_there_is_exit_code_3() -> None:
    result = RUNNER.invoke(app, ["status", "j1", "--url", "http://127.0.0.1:1"])
    assert (result.exit_code, result.stdout) == (3, "")
    assert "http://127.0.0.1:1 does not answer" in result.stderr


@pytest.mark.parametrize("url", ["localhost:8000", "http://localhost:port"])
def test_a_url_that_is_none_is_exit_code_1(url: str) -> None:
    result = RUNNER.invoke(app, ["status", "j1", "--url", url])
    assert result.exit_code == 1
    assert "is not a valid service URL" in result.stderr


def test_the_exit_codes_are_in_the_help() -> None:
    text = click.unstyle(RUNNER.invoke(app, ["--help"]).output)
    assert "4 job failed" in " ".join(text.split())


def test_a_difference_is_printed_in_short_and_its_rows_go_to_a_file(serve: Serve, tmp_path: Path) -> None:
    counts = {"equal": 90, "within_tolerance": 5, "different": 4, "failed_a": 0, "failed_b": 1}
    label = {
        "output": "species",
        "changed": 4,
        "quantiles": None,
        "changes": [{"a": "x", "b": "y", "rows": 4}],
    }
    number = {"output": "value", "changed": 9, "changes": [], "quantiles": {"p50": 0, "p99": 0.1, "max": 2.5}}
    report = {
        **{side: {"job_id": side, "model": "iris", "version": f"1.{n}.0"} for n, side in enumerate("ab")},
        **counts,
        **{"rows": 100, "disagreement": 0.05, "failed_both": 0, "same_rows": False},
        "outputs": [label, number],
    }

    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, request.url.params["against"]) == ("/jobs/j1/difference", "j2")
        assert request.url.params["tolerance"] == "0.1"
        if request.url.params.get("format") == "csv":
            return httpx.Response(200, content=b"row\n17\n")
        return httpx.Response(200, json=report)

    serve(answer)
    out = tmp_path / "diff.csv"
    found = RUNNER.invoke(app, ["difference", "j1", "j2", "--tolerance", "0.1", "-o", str(out)])
    assert found.exit_code == 0, found.output
    assert out.read_bytes() == b"row\n17\n"
    for words in ("5.0000% disagree", "failed_b 1", "x → y: 4", "max 2.5", "not the same"):
        assert words in found.stdout


def test_a_replay_has_an_idempotency_key_and_prints_the_new_job(serve: Serve) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, json.loads(request.content), "idempotency-key" in request.headers))
        return httpx.Response(202, json=job("queued", version="1.1.0", replay_of="j0"))

    serve(answer)
    found = RUNNER.invoke(app, ["replay", "j0", "1.1.0", "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["replay_of"] == "j0"
    assert seen == [("/jobs/j0/replay", {"version": "1.1.0"}, True)]


def deployment(**changes: Any) -> dict[str, Any]:
    return {
        "model": "iris",
        "generation": 3,
        "wanted": ["1.0.0"],
        "default": "1.0.0",
        "serves": "1.0.0",
        "aliases": {},
        "split": {},
        "shadow": None,
        "rollout": None,
        "versions": [],
        **changes,
    }


def deployed(serve: Serve, before: dict[str, Any], *arguments: str) -> dict[str, Any]:
    """The deployment that `takt deploy iris …` asks for."""
    asked: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            asked.append(json.loads(request.content))
            assert request.headers["if-match"] == '"3"'
        return httpx.Response(200, json=before)

    serve(answer)
    found = RUNNER.invoke(app, ["deploy", "iris", *arguments])
    assert found.exit_code == 0, found.output
    (target,) = asked
    return target


def test_a_shadow_leaves_default_and_split_as_they_are(serve: Serve) -> None:
    before = deployment(wanted=["1.0.0", "1.1.0"], split={"1.0.0": 90, "1.1.0": 10})
    target = deployed(serve, before, "1.2.0", "--shadow", "--share", "0.25")
    assert target["wanted"] == ["1.0.0", "1.1.0", "1.2.0"]
    assert (target["default"], target["split"]) == ("1.0.0", {"1.0.0": 90, "1.1.0": 10})
    assert target["shadow"] == {"version": "1.2.0", "share": 0.25}


SHADOWED = deployment(
    wanted=["1.0.0", "1.2.0"],
    shadow={
        "version": "1.2.0",
        "share": 0.1,
        "tolerance": 0.5,
        "compared": 7,
        "disagreement": 0,
        "dropped": 0,
    },
)


def test_a_canary_keeps_the_shadow(serve: Serve) -> None:
    target = deployed(serve, SHADOWED, "1.1.0", "--canary", "10")
    assert target["shadow"] == {"version": "1.2.0", "share": 0.1, "tolerance": 0.5}


def test_a_version_that_is_deployed_is_no_shadow_any_more(serve: Serve) -> None:
    assert "shadow" not in deployed(serve, SHADOWED, "1.2.0")


def test_a_shadow_is_no_canary() -> None:
    refused = RUNNER.invoke(app, ["deploy", "iris", "1.2.0", "--shadow", "--canary", "10"])
    assert refused.exit_code == 2
