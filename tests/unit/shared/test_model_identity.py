"""Model identity: the differences of a model.toml that count, and the reaction of a gateway."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from api.fleet.snapshot import Fleet
from api.online.admission_policy import RetrySchedule, Traffic, admit
from shared.errors import ModelMismatchError, ModelNotLoadedError, ServiceError
from shared.keys import model_key
from shared.messages import Entry, decode_entry, encode
from shared.model_identity import ModelIdentity, wires_differ
from shared.spec_files import load_spec
from shared.specs import ModelSpec
from shared.worker_records import HeldModel, ModelState, WorkerRecord, WorkerState
from tests.support.specimens import declaration

KEY = model_key("flower", "1.0.0")
PLAIN = """
name = "flower"
framework = "scikit-learn"
default_version = "1.0.0"
classes = ["setosa", "versicolor"]

[[inputs]]
name = "length"
type = "float"
minimum = 0
example = 5.0

[[inputs]]
name = "kind"
type = "string"
allowed = ["a", "b"]
example = "a"

[[outputs]]
name = "prediction"
view = "label"

[[outputs]]
name = "confidence"
view = "confidence"
round = 4
"""


def spec_of(folder: Path, text: str) -> ModelSpec:
    home = folder / "flower"
    home.mkdir(exist_ok=True)
    (home / "model.toml").write_text(text)
    return load_spec(home / "model.toml")


def swapped(text: str) -> str:
    """The two inputs in the other order."""
    head, first, rest = text.split("[[inputs]]")
    second, outputs = rest.split("[[outputs]]", 1)
    return f"{head}[[inputs]]{second}[[inputs]]{first}[[outputs]]{outputs}"


@pytest.mark.parametrize(
    "changed",
    [
        PLAIN.replace('"float"', '"float32"'),
        PLAIN.replace('"float"', '"int64"').replace("5.0", "5"),
        PLAIN.replace('"setosa", "versicolor"', '"versicolor", "setosa"'),
        PLAIN.replace("versicolor", "virginica"),
        PLAIN.replace("round = 4", "round = 3"),
        PLAIN.replace("minimum = 0", "minimum = 1"),
        PLAIN.replace('"length"', '"width"'),
        PLAIN.replace('["a", "b"]', '["a", "c"]'),
        PLAIN.replace("example = 5.0", "nullable = true"),
        PLAIN.replace('view = "confidence"', 'view = "probabilities"'),
        swapped(PLAIN),
    ],
)
def test_a_spec_of_another_meaning_has_another_digest(tmp_path: Path, changed: str) -> None:
    assert spec_of(tmp_path, changed).digest != spec_of(tmp_path, PLAIN).digest


@pytest.mark.parametrize(
    "changed",
    [
        f"# a comment\n{PLAIN}",
        PLAIN.replace('"float"', '"float"\ndescription = "of the leaf"'),
        PLAIN.replace("example = 5.0", "example = 6.0"),
        PLAIN.replace("minimum = 0", "minimum = 0.0"),
        PLAIN.replace('["a", "b"]', '["b", "a"]'),
        PLAIN.replace('"string"', '"string"\nmax_length = 1024'),
        f"{PLAIN}\n[batching]\nmax_rows = 8\n",
        PLAIN.replace('"1.0.0"', '"1.0.1"'),
    ],
)
def test_a_spec_of_the_same_meaning_has_the_same_digest(tmp_path: Path, changed: str) -> None:
    assert spec_of(tmp_path, changed).digest == spec_of(tmp_path, PLAIN).digest


ONE, OTHER = ModelIdentity("11" * 32, "aa" * 32), ModelIdentity("22" * 32, "aa" * 32)
REBUILT = ModelIdentity("11" * 32, "bb" * 32)
UNBUILT = ModelIdentity("11" * 32)


@pytest.mark.parametrize(
    ("mine", "theirs", "differ"),
    [
        (ONE, ONE, False),
        (ONE, OTHER, True),
        (ONE, REBUILT, True),
        (UNBUILT, ONE, False),
        (ONE, UNBUILT, False),
        (UNBUILT, OTHER, True),
        (ONE, ModelIdentity(""), False),
    ],
)
def test_what_both_know_must_be_the_same(mine: ModelIdentity, theirs: ModelIdentity, differ: bool) -> None:
    assert mine.differs(theirs.spec_sha256, theirs.artifact_sha256) is differ
    assert wires_differ(mine.wire, theirs.wire) is differ


def test_an_entry_of_an_older_gateway_asks_for_no_identity() -> None:
    fields = msgspec.msgpack.decode(encode(Entry(1, "g", 1, 0, 1000, 1, [[1]])))
    del fields[Entry.__struct_fields__.index("identity") :]
    assert decode_entry(msgspec.msgpack.encode(fields)).identity == b""


def worker(name: str, identity: ModelIdentity) -> WorkerRecord:
    held = HeldModel(
        state=ModelState.LOADED,
        rows_per_s=100.0,
        digest=identity.artifact_sha256,
        spec_digest=identity.spec_sha256,
    )
    return WorkerRecord(
        id=f"{name}:1",
        host="here",
        pid=1,
        device="cpu",
        state=WorkerState.SERVING,
        started_at="2026-01-01T00:00:00Z",
        models={KEY: held},
    )


def fleet(*workers: WorkerRecord) -> Fleet:
    return Fleet(workers=workers, identities={KEY: ONE})


def refusal(found: Fleet) -> ServiceError | None:
    traffic = Traffic(
        holders=found.matching_holders(KEY),
        rows_per_s=0.0,
        backlog_s=0.0,
        own_share=0.0,
        batch_rows=8,
        inflight_rows=0,
        max_inflight_rows=100,
        mismatch=found.mismatch(KEY),
    )
    try:
        admit(traffic, KEY, 1, 1.0, retries=RetrySchedule(), now_s=0.0)
    except ServiceError as error:
        return error
    return None


def test_a_gateway_sends_nothing_to_workers_of_another_spec() -> None:
    error = refusal(fleet(worker("a", OTHER)))
    assert isinstance(error, ModelMismatchError)
    assert "111111111111" in error.detail
    assert "222222222222" in error.detail
    assert "a:1" in error.detail


def test_a_gateway_sends_to_a_worker_that_has_its_spec_beside_another() -> None:
    found = fleet(worker("a", OTHER), worker("b", ONE))
    assert refusal(found) is None
    assert (found.matching_holders(KEY), found.rates[KEY]) == (1, 100.0)


def test_a_worker_that_says_no_spec_is_trusted() -> None:
    assert refusal(fleet(worker("old", ModelIdentity("")))) is None


def test_without_any_worker_the_model_is_not_loaded() -> None:
    assert isinstance(refusal(fleet()), ModelNotLoadedError)


def test_what_an_output_selects_and_its_type_are_part_of_the_digest() -> None:
    value = {"name": "y", "view": "value"}
    changes: list[dict[str, object]] = [{}, {"from": "a"}, {"method": "predict"}, {"column": 0}]
    changes += [{"type": "int64"}, {"nullable": True}]
    assert len({declaration(outputs=[value | change]).digest for change in changes}) == len(changes)


def test_the_digest_of_a_declaration_is_that_of_earlier_versions(tmp_path: Path) -> None:
    of_version_1 = "73324110d86ed090133e9e587e42dc9b7f761399fd55f5cd95c48e732f3695af"
    assert spec_of(tmp_path, PLAIN).digest == of_version_1
