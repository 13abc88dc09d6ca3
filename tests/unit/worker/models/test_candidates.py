"""Verification of versions by a worker that stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fakeredis import FakeRedis

from shared import keys
from shared.manifests import VersionFile, sha256_of
from shared.publications import Candidate, Verdict, decode, encode
from shared.settings import Settings
from tests.support.model_folders import write_model
from tests.support.polling import eventually
from worker.models.candidates import CandidateVerifier


def candidate_in(store: Path) -> Candidate:
    """A version that has been uploaded to a store."""
    folder = write_model(store, "double")
    place = store / ".incoming" / "c"
    place.mkdir(parents=True)
    names = ["model.toml"]
    (place / "model.toml").write_bytes((store / "double" / "model.toml").read_bytes())
    for path in folder.iterdir():
        if path.name != "manifest.json":
            (place / path.name).write_bytes(path.read_bytes())
            names.append(path.name)
    files = {
        path.name: VersionFile(size_bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in place.iterdir()
    }
    return Candidate(
        id="c", model="double", version="1.1.0", place=".incoming/c", files=files, expires_at_ms=10**15
    )


def test_a_worker_that_stops_hands_its_candidate_to_another_worker_at_once(tmp_path: Path) -> None:
    client, candidate = FakeRedis(), candidate_in(tmp_path)
    client.hset(keys.candidates(), "c", encode(candidate))
    settings = Settings(models_dir=tmp_path)
    first, second = (CandidateVerifier(client, settings, name) for name in ("first", "second"))
    first.look()
    assert client.get(keys.candidate_claim("c")) == b"first"
    first.stop()
    assert not client.exists(keys.candidate_claim("c"), keys.verdict("c"))
    first.look()
    assert not client.exists(keys.candidate_claim("c")), "it claims no more"
    second.look()
    eventually(lambda: client.exists(keys.verdict("c")), limit_s=60)
    text: Any = client.get(keys.verdict("c"))  # Any: redis-py's union of answers
    found = decode(text, Verdict)
    assert found is not None
    assert (found.problem, found.worker) == ("", "second")
