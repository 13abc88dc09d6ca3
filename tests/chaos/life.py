"""The load of deployments: publishes a version, moves requests to it and back, and deletes the old version.

All versions have the same tree, so that the answers and the jobs are the same whichever version runs them.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import redis

from shared import keys
from shared.deployments import decode_deployment
from shared.repository import ModelVersion
from takt import Takt
from takt.errors import Conflict, TaktError, TryLater
from takt.records import Json
from tests.chaos.gateways import PAUSE_S, Gateways
from tests.chaos.life_records import Changes, Life, Wish, promotions, violations
from tests.chaos.terrain import MODEL

STEP_LIMIT_S = 300.0
"""Time limit of a command with its repetitions, and of a rollout's step: longer than any recovery."""
LOOK_EVERY_S = 0.2
STEPS = (
    *("publish", "canary", "rollback of a canary", "rollout"),
    *("rollout at 10 %", "rollout at 50 %", "rollout at 100 %"),
    *("rollback", "promotion", "wait for jobs", "drop", "delete"),
)
_ROLLOUT: Json = {
    "steps": [10, 50, 100],
    "hold_s": 2,
    # no fault ends a rollout, so that its outcome is known
    "rules": {"min_requests": 5, "max_error_rate": 1.0, "max_p99_ratio": 1e6, "max_predict_ratio": 1e6},
}


class ModelLife(threading.Thread):
    """An operator with a command at a time. A broken command is sent again if it had no effect."""

    def __init__(self, gateways: Gateways, version: ModelVersion, folder: Path) -> None:
        """`version`: the version that is served first; `folder`: a new folder for the files to publish."""
        super().__init__(name="life", daemon=True)
        folder.mkdir()
        for path in (version.folder.parent / "model.toml", version.folder / "model.joblib"):
            shutil.copy(path, folder)
        self._gateways = gateways
        self._folder = folder
        self._stopping = threading.Event()
        self._rollouts: set[str] = set()
        self.seen = Changes()
        self.wish = Wish(version.manifest.version)
        """What the last command with an effect has asked for."""
        self.doing = ""
        """The step in which it is."""
        self.cycles = 0

    @property
    def coordinator(self) -> str:
        """The URL of the gateway that has the newest command or look."""
        return self._gateways.newest

    def stop(self) -> None:
        """Complete the present step, and begin no other."""
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._cycle(self.wish.default, f"1.{self.cycles + 1}.0")
            except TaktError as error:
                self.seen.broken.append(f"{self.doing}: {type(error).__name__}: {error}")
                return
            self.doing = ""

    def _cycle(self, old: str, new: str) -> None:
        both = Wish(old, {old, new})
        steps: list[Callable[[], None]] = [
            lambda: self._publish(new),
            lambda: self._canary(both, new),
            lambda: self._roll_out(Wish(new, both.wanted)),
            lambda: self._roll_back("rollback", both),
            lambda: self._deploy("promotion", Wish(new, both.wanted)),
            lambda: self._wait_for_jobs_of(old),
            lambda: self._deploy("drop", Wish(new)),
            lambda: self._remove(old),
        ]
        for step in steps:
            if self._stopping.is_set():
                return
            step()
        self.cycles += 1

    def _publish(self, version: str) -> None:
        def is_published(takt: Takt) -> bool:
            found = takt.versions(MODEL)["versions"]
            return any((one["version"], one["state"]) == (version, "published") for one in found)

        self._command("publish", lambda takt: takt.publish(self._folder, version=version), is_published)

    def _canary(self, wish: Wish, to: str) -> None:
        """Begin a rollout, and end it before its last step."""
        self._begin_rollout("canary", to)
        self._roll_back("rollback of a canary", wish)

    def _roll_out(self, wish: Wish) -> None:
        self._begin_rollout("rollout", wish.default)
        self._follow_rollout(wish)

    def _begin_rollout(self, step: str, to: str) -> None:
        def begin(takt: Takt) -> None:
            takt.roll_out(MODEL, _ROLLOUT | {"to": to})

        def has_begun(takt: Takt) -> bool:
            rollout = self._look(takt)["rollout"]
            return rollout is not None and rollout["id"] not in self._rollouts

        self._command(step, begin, has_begun)
        self._rollouts.add(self._gateways.ask(self._look)["rollout"]["id"])

    def _follow_rollout(self, wish: Wish) -> None:
        """Wait until every step is taken. Raises TryLater if a step is due and no gateway takes it."""
        generation, since_s = -1, time.monotonic()
        while (view := self._gateways.ask(self._look))["rollout"]["state"] == "running":
            if view["generation"] != generation:
                generation, since_s = view["generation"], time.monotonic()
            elif time.monotonic() - since_s > STEP_LIMIT_S:
                raise TryLater(f"half-applied: {view['rollout']['percent']} % for {STEP_LIMIT_S:g} s")
            self.doing = f"rollout at {view['rollout']['percent']:g} %"
            time.sleep(LOOK_EVERY_S)
        self.wish = wish
        if not wish.is_asked_by(view):
            self.seen.broken.append(f"the rollout ended with {view}")

    def _roll_back(self, step: str, wish: Wish) -> None:
        def is_back(takt: Takt) -> bool:
            return wish.is_asked_by(self._look(takt))

        def roll_back(takt: Takt) -> None:
            takt.roll_back(MODEL, generation=self.seen.generation)

        self._command(step, roll_back, is_back)
        self.wish = wish

    def _deploy(self, step: str, wish: Wish) -> None:
        def deploy(takt: Takt) -> None:
            takt.deploy(MODEL, wish.target, generation=self.seen.generation)

        self._command(step, deploy, lambda takt: wish.is_asked_by(self._look(takt)))
        self.wish = wish

    def _wait_for_jobs_of(self, version: str) -> None:
        """Unfinished jobs of a version need workers that hold it."""
        self.doing = "wait for jobs"
        end_s = time.monotonic() + STEP_LIMIT_S
        while time.monotonic() < end_s:
            jobs = self._gateways.ask(lambda takt: list(takt.jobs()))
            if all(job.ended or job.version != version for job in jobs):
                return
            time.sleep(LOOK_EVERY_S)
        raise TryLater(f"jobs of {version} have not ended after {STEP_LIMIT_S:g} s")

    def _remove(self, version: str) -> None:
        def is_gone(takt: Takt) -> bool:
            return all(one["version"] != version for one in takt.versions(MODEL)["versions"])

        self._command("delete", lambda takt: takt.delete_version(MODEL, version), is_gone)

    def _command(self, step: str, act: Callable[[Takt], object], done: Callable[[Takt], bool]) -> None:
        """Repeat a command until its effect is seen. Raises TryLater after the limit, TaktError."""
        self.doing = step
        end_s, problem = time.monotonic() + STEP_LIMIT_S, ""
        while not self._gateways.ask(done):
            if time.monotonic() > end_s:
                raise TryLater(f"no effect after {STEP_LIMIT_S:g} s; last answer: {problem}")
            try:
                self._gateways.ask(act, patience_s=0)
            except (TryLater, Conflict) as error:
                problem = str(error)
                time.sleep(PAUSE_S)

    def _look(self, takt: Takt) -> Json:
        view = takt.deployment(MODEL)
        self.seen.look(view["generation"])
        return view


def outcome(life: ModelLife, urls: Sequence[str], client: redis.Redis, met: Sequence[str]) -> Life:
    """The life after all faults, with every violation. `met`: the step in which each fault began."""
    stream: Any = client.xrange(keys.deployment_history(MODEL))  # Any: redis-py's union of answers
    read = [decode_deployment(fields[b"record"]) for _, fields in stream]
    history = [record for record in read if record is not None]
    broken = [*life.seen.broken, *violations(history), *_unserved(life.wish, urls)]
    if len(history) < len(read):
        broken.append(f"{len(read) - len(history)} records of the history cannot be read")
    if life.is_alive():
        broken.append(f"{life.doing} has not ended")
    return Life(life.cycles, len(history), promotions(history), tuple(met), tuple(broken))


def _unserved(wish: Wish, urls: Sequence[str]) -> Iterator[str]:
    """The gateways that do not serve what the last command asked for, within the limit."""
    end_s = time.monotonic() + STEP_LIMIT_S
    for url in urls:
        with Gateways([url]) as gateway:
            while not wish.is_served_by(view := gateway.ask(lambda takt: takt.deployment(MODEL))):
                if time.monotonic() > end_s:
                    yield f"{url} does not serve {wish.target}: {view}"
                    break
                time.sleep(LOOK_EVERY_S)
