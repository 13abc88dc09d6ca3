"""Keys on running gateways: created and revoked by the command, effective on all gateways."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from shared import keys as spelled
from stack.operator_cli import keys
from tests.support.polling import eventually
from tests.support.servers import Server, free_port
from tests.support.stack import STARTS_S, running

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def no_keys(valkey: Server) -> None:
    """Delete all keys first, because other tests share the server."""
    with valkey.client() as client:
        client.delete(spelled.access_keys(), spelled.access_shares())


def takt_keys(server: Server, *words: str) -> Result:
    return CliRunner().invoke(keys, words, env={"TAKT_REDIS_URL": server.url})


def made(server: Server, *words: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(takt_keys(server, "create", *words, "--json").stdout)
    return found


def answers(url: str, token: str, status: int) -> bool:
    return httpx.get(f"{url}/models", headers={"x-api-key": token}, timeout=10).status_code == status


def test_a_key_is_known_to_every_gateway_once_it_is_made_and_to_none_once_it_is_revoked(
    valkey: Server, tmp_path: Path
) -> None:
    with running(valkey.url, tmp_path, access="keys") as stack:
        urls = [stack.gateway("one").url, stack.gateway("two", port=free_port()).url]
        key = made(valkey, "mes")
        assert all(answers(url, key["key"], 200) for url in urls), "a new key is good at once"
        listed = takt_keys(valkey, "list").stdout
        assert key["id"] in listed
        assert key["key"] not in listed
        assert takt_keys(valkey, "revoke", key["id"]).exit_code == 0
        for url in urls:
            eventually(partial(answers, url, key["key"], 401), limit_s=30)
        assert "revoked" in takt_keys(valkey, "list").stdout
        assert all(key["key"] not in part.log.read_text() for part in stack.parts.values())


def test_a_gateway_that_others_could_reach_says_what_to_do_and_ends(valkey: Server, tmp_path: Path) -> None:
    with running(valkey.url, tmp_path, host="0.0.0.0") as stack:
        part = stack._start("gateway", ["api"], {"gateway_name": "gateway", "port": str(stack.port)})
        eventually(lambda: not part.running, limit_s=STARTS_S)
        assert part.exit_status == 1
        assert "takt keys create NAME" in part.log.read_text()
        made(valkey, "mes")
        assert stack.gateway().running


def test_what_cannot_be_made_or_revoked_is_refused_in_words(valkey: Server) -> None:
    for words, why in [
        (("create", "A B"), "is not a valid key name"),
        (
            ("create", "mes", "--role", "king"),
            "valid roles: predict, submit, read, deploy, operate, ",
        ),
        (("create", "mes", "--expires-in", "soon"), "such as 90d"),
        (("revoke", "nothing"), "no key has the id nothing"),
    ]:
        result = takt_keys(valkey, *words)
        assert result.exit_code == 1
        assert why in result.stderr
    assert "no keys" in takt_keys(valkey, "list").stdout


def listed(server: Server) -> dict[str, dict[str, object]]:
    lines = takt_keys(server, "list", "--json").stdout.splitlines()
    return {str(document["id"]): document for document in map(json.loads, lines)}


def test_keys_of_the_same_name_have_a_common_share_and_it_can_be_set_later(valkey: Server) -> None:
    limits = ("--max-running-rows", "500", "--max-jobs", "7")
    first, second = made(valkey, "lab", "--weight", "3", *limits), made(valkey, "lab")
    other = made(valkey, "mes")
    share = {"weight": 3.0, "max_running_rows": 500, "max_jobs": 7}
    for key in (first, second):
        assert listed(valkey)[key["id"]] | share == listed(valkey)[key["id"]]
    assert "weight 3, 500 running rows, 7 jobs" in " ".join(takt_keys(valkey, "list").stdout.split())
    assert takt_keys(valkey, "set", second["id"], "--max-jobs", "0", "--weight", "0.5").exit_code == 0
    assert listed(valkey)[first["id"]]["max_jobs"] is None
    assert listed(valkey)[first["id"]]["weight"] == 0.5
    answer = json.loads(takt_keys(valkey, "set", "mes", "--max-jobs", "2", "--json").stdout)
    assert answer == {"name": "mes", "weight": 1.0, "max_running_rows": None, "max_jobs": 2}
    assert listed(valkey)[other["id"]]["max_jobs"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "nobody", "--weight", "2"), "no key has the name or id nobody"),
        (("set", "mes"), "nothing to set"),
        (("set", "mes", "--weight", "0"), "is not a weight"),
        (("create", "new", "--weight", "-1"), "is not a weight"),
    ],
)
def test_a_share_that_cannot_be_set_is_refused_in_words(
    valkey: Server, words: tuple[str, ...], said: str
) -> None:
    made(valkey, "mes")
    refused = takt_keys(valkey, *words)
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert len(listed(valkey)) == 1
