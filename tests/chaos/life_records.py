"""What the records of a deployment must have in common, whichever programs were killed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from shared.deployments import Deployment
from shared.rollouts import Rollout, RolloutState
from takt.records import Json


@dataclass(frozen=True)
class Life:
    """The model's life in a run."""

    cycles: int = 0  # from a publication to the deletion of the version before
    changes: int = 0  # of the deployment
    promoted: int = 0  # rollouts that took all steps
    met: tuple[str, ...] = ()  # the step in which each fault began
    broken: tuple[str, ...] = ()  # violations


@dataclass
class Changes:
    """The generations that an operator has seen, and the violations."""

    generation: int = 0
    broken: list[str] = field(default_factory=list)

    def look(self, generation: int) -> None:
        if generation < self.generation:
            self.broken.append(f"generation {generation} was seen after {self.generation}")
        self.generation = generation


class Wish:
    """A deployment without a split, as a command asks for it."""

    def __init__(self, default: str, wanted: Iterable[str] = ()) -> None:
        """`wanted`: the versions that workers hold, by default only `default`."""
        self.default = default
        self.wanted = frozenset({default, *wanted})

    @property
    def target(self) -> Json:
        return {"default": self.default, "wanted": sorted(self.wanted)}

    def is_asked_by(self, view: Json) -> bool:
        """Whether the deployment, as a gateway shows it, is this and no rollout runs."""
        rollout = view["rollout"]
        running = rollout is not None and rollout["state"] == "running"
        as_shown = view["default"], frozenset(view["wanted"]), view["split"]
        return not running and as_shown == (self.default, self.wanted, {})

    def is_served_by(self, view: Json) -> bool:
        """Whether the gateway also serves it, and the workers hold exactly its versions."""
        held = {one["version"]: one["state"] for one in view["versions"]}
        return (
            self.is_asked_by(view)
            and view["serves"] == self.default
            and held == dict.fromkeys(self.wanted, "held")
        )


def violations(history: Sequence[Deployment]) -> Iterator[str]:
    """What is wrong in the history of a deployment, the oldest record first."""
    for record in history:
        if problem := record.target.problem() or _of_rollout(record):
            yield f"generation {record.generation}: {problem}"
    for before, after in pairwise(history):
        if after.generation != before.generation + 1:
            yield f"generation {after.generation} follows {before.generation}"
        if before.rollout is not None and (problem := _of_step(before.rollout, after.rollout)):
            yield f"generation {after.generation}: {problem}"


def promotions(history: Sequence[Deployment]) -> int:
    """How many rollouts took all their steps."""
    rollouts = [record.rollout for record in history if record.rollout is not None]
    return len({one.id for one in rollouts if one.state is RolloutState.PROMOTED})


def _of_rollout(record: Deployment) -> str | None:
    """Whether a record has a part of a rollout's step only."""
    rollout, target = record.rollout, record.target
    if rollout is None:
        return "a split without a rollout" if target.split else None
    if rollout.running:
        return None if target.split == rollout.split else f"{target.split} at {rollout.percent:g} %"
    served = rollout.to if rollout.state is RolloutState.PROMOTED else rollout.of
    if target.split or target.default != served:
        return f"{rollout.state} with default {target.default} and split {target.split}"
    return None


def _of_step(before: Rollout, after: Rollout | None) -> str | None:
    """Whether a rollout went back, left out a step, or was replaced while it ran."""
    if after is None or after.id != before.id:
        return "it replaced a running rollout" if before.running else None
    if not before.running:
        return "it changed a rollout that had ended"
    if after.running and after.step != before.step + 1:
        return f"step {after.step} follows {before.step}"
    return None
