"""Verifies versions before they are published: digests, loading, golden rows, in a process of their own.

Each worker looks for candidates; a candidate is claimed by a single worker. The files are copied from the
store into a temporary folder, and `python -m worker verify` opens them there, in the environment of the
version if it has one. A version that crashes, hangs or fills the memory ends that process only. The files of
a candidate with a source are pulled from there by `python -m worker new`, and copied to the store.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import redis
import structlog
from redis.exceptions import RedisError

from shared import keys
from shared.errors import ArtifactError, ServiceError
from shared.exit_status import ending
from shared.integrity import short
from shared.keys import ModelKey, model_key
from shared.manifests import VersionFile, read_manifest, write_manifest
from shared.model_store import ModelStore, open_model_store
from shared.publications import CLAIM_S, VERDICT_KEPT_S, Candidate, Verdict, decode, encode
from shared.settings import Settings, environment
from shared.temporary_folders import remove_leftovers, temporary_folder
from worker.environments.commands import worker_command

log = structlog.get_logger(__name__)

_LOOK_S = 0.2
_FOLDERS = "takt-candidate-"
_ENDS_S = 2.0
"""Time for the end of a verification whose worker stops."""
_MOST_LINES_BYTES = 2**20


class _VerifierStops(Exception):
    """The worker stops while it verifies."""


class CandidateVerifier:
    """Verifies one candidate at a time, in a thread that exists only meanwhile."""

    def __init__(self, client: redis.Redis, settings: Settings, worker_id: str) -> None:
        self._client: Any = client  # Any: redis-py's union of RESP2 and RESP3 answers
        self._settings = settings
        self._worker_id = worker_id
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        remove_leftovers(_FOLDERS)

    def stop(self) -> None:
        """Claim no more, and end the present verification: another worker begins it anew at once."""
        self._stopping.set()
        if (thread := self._thread) is not None:
            thread.join(_ENDS_S)

    def look(self) -> None:
        """Claim the next candidate, if there is one. Does nothing while Redis does not answer."""
        if self._stopping.is_set() or (self._thread is not None and self._thread.is_alive()):
            return
        with contextlib.suppress(RedisError):
            if (candidate := self._claimed()) is not None:
                self._thread = threading.Thread(
                    target=self._verify, args=[candidate], name="candidate", daemon=True
                )
                self._thread.start()

    def _claimed(self) -> Candidate | None:
        for name, text in self._client.hgetall(keys.candidates()).items():
            candidate = decode(text, Candidate)
            if candidate is None or self._is_over(candidate):
                self._client.hdel(keys.candidates(), name)
            elif self._client.set(
                keys.candidate_claim(candidate.id), self._worker_id, nx=True, px=round(CLAIM_S * 1000)
            ):
                return candidate
        return None

    def _is_over(self, candidate: Candidate) -> bool:
        seconds, _ = self._client.time()
        return bool(seconds * 1000 > candidate.expires_at_ms)

    def _verify(self, candidate: Candidate) -> None:
        begun_s = time.monotonic()
        key = _key_of(candidate)
        log.info("candidate_verifying", model=key, worker=self._worker_id)
        try:
            found = self._found(candidate)
        except _VerifierStops:
            self._release(candidate)
            return
        except (ServiceError, OSError) as error:
            found = Verdict(problem=error.detail if isinstance(error, ServiceError) else str(error))
        except Exception as error:  # else the candidate would be verified again and again
            log.exception("candidate_crashed", model=key)
            found = Verdict(problem=f"{type(error).__name__}: {error}")
        seconds = round(time.monotonic() - begun_s, 2)
        found = msgspec.structs.replace(found, seconds=seconds, worker=self._worker_id)
        log.info("candidate_verified", model=key, problem=found.problem, seconds=seconds)
        with contextlib.suppress(RedisError):
            self._store(candidate, found)

    def _store(self, candidate: Candidate, found: Verdict) -> None:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.set(keys.verdict(candidate.id), encode(found), px=round(VERDICT_KEPT_S * 1000))
            pipe.hdel(keys.candidates(), candidate.id)
            pipe.delete(keys.candidate_claim(candidate.id))
            pipe.execute()

    def _release(self, candidate: Candidate) -> None:
        log.info("candidate_released", model=_key_of(candidate))
        with contextlib.suppress(RedisError):
            self._client.delete(keys.candidate_claim(candidate.id))

    def _found(self, candidate: Candidate) -> Verdict:
        with temporary_folder(_FOLDERS) as root:
            folder = root / candidate.model / candidate.version
            store = open_model_store(self._settings)
            if candidate.source:
                self._pull(candidate, root)
            else:
                folder.mkdir(parents=True)
                self._copy_files(candidate, store, folder)
            line = self._line_of(candidate, root, "verify", _key_of(candidate), "--candidate")
            if line.get("state") != "ok":
                return Verdict(problem=str(line.get("reason") or "the version does not verify"))
            if candidate.source:
                self._store_files(candidate, store, folder)
            return Verdict(
                manifest=read_manifest(folder, candidate.model, candidate.version),
                rows_per_s=msgspec.convert(line.get("rows_per_s", 0.0), float),
                warnings=msgspec.convert(line.get("warnings", []), list[str]),
            )

    def _pull(self, candidate: Candidate, root: Path) -> None:
        """Make the version from its source. Raises ArtifactError."""
        options = ("--mlflow", candidate.source, "--version", candidate.version)
        line = self._line_of(candidate, root, "new", candidate.model, *options)
        if line.get("state") != "made":
            raise ArtifactError(str(line.get("reason") or "the version cannot be made"))

    def _copy_files(self, candidate: Candidate, store: ModelStore, folder: Path) -> None:
        for name, file in candidate.files.items():
            pieces = store.pieces(f"{candidate.place}/{name}")
            _copy(self._renewing(candidate, pieces), folder / name, file)
        if candidate.manifest is not None:
            write_manifest(folder, candidate.manifest)

    def _store_files(self, candidate: Candidate, store: ModelStore, folder: Path) -> None:
        """The files of a pulled version, which the gateway then publishes."""
        for name in read_manifest(folder, candidate.model, candidate.version).files:
            self._renew(candidate)
            store.put(f"{candidate.place}/{name}", folder / name)

    def _line_of(self, candidate: Candidate, root: Path, *arguments: str) -> dict[str, object]:
        """Run a command of `python -m worker` on the models in a folder. → its JSON line"""
        limit_s = time.monotonic() + self._settings.verify_limit_s
        with tempfile.TemporaryFile() as lines:
            process = subprocess.Popen(  # noqa: S603 - starts this project's own program
                worker_command(*arguments, "--lines-to", str(lines.fileno())),
                env=environment({"models_dir": str(root), "models_url": ""}),
                pass_fds=(lines.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                while process.poll() is None and time.monotonic() < limit_s:
                    self._renew(candidate)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_LOOK_S)
            finally:
                is_late = process.poll() is None
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # its children, too
                process.wait()
            if is_late:
                raise ArtifactError(
                    f"not verified within {self._settings.verify_limit_s:g} s (TAKT_VERIFY_LIMIT_S)"
                )
            lines.seek(0)
            found = [
                msgspec.json.decode(line, type=dict[str, object])
                for line in lines.readlines(_MOST_LINES_BYTES)
            ]
        if not found or found[-1].get("state") == "begun":
            raise ArtifactError(f"the process that verified it {ending(process.returncode)}")
        return found[-1]

    def _renewing(self, candidate: Candidate, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._renew(candidate)
            yield piece

    def _renew(self, candidate: Candidate) -> None:
        """Keep the claim. Raises _VerifierStops."""
        if self._stopping.is_set():
            raise _VerifierStops
        with contextlib.suppress(RedisError):
            self._client.pexpire(keys.candidate_claim(candidate.id), round(CLAIM_S * 1000))


def _key_of(candidate: Candidate) -> ModelKey:
    return model_key(candidate.model, candidate.version)


def _copy(pieces: Iterable[bytes], target: Path, file: VersionFile) -> None:
    """Raises ArtifactError if the content is not the recorded content, ModelStoreError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as copy:
        for piece in pieces:
            digest.update(piece)
            copy.write(piece)
    if digest.hexdigest() != file.sha256:
        raise ArtifactError(
            f"{target.name}: SHA-256 is {short(digest.hexdigest())}, but {short(file.sha256)} was uploaded"
        )
