"""Which records of a deployment the chaos suite takes for half a change."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from api.online.rollout_driver import changed
from shared.deployments import Change, Deployment, Target
from shared.rollouts import Rollout, RolloutState
from tests.chaos.life_records import Changes, Wish, promotions, violations

BASE = Deployment(
    model="terrain",
    target=Target(wanted=("1.0.0", "1.1.0"), default="1.0.0"),
    change=Change(by="operator"),
    generation=1,
)
ROLLOUT = Rollout(id="r", of="1.0.0", to="1.1.0", steps=(10.0, 50.0, 100.0), hold_s=1)


def after(before: Deployment, rollout: Rollout) -> Deployment:
    """The record that the driver stores."""
    return structs.replace(changed(before, rollout), generation=before.generation + 1)


def whole_rollout() -> list[Deployment]:
    records = [BASE]
    for step in range(3):
        records.append(after(records[-1], structs.replace(ROLLOUT, step=step)))
    promoted = structs.replace(ROLLOUT, step=2, state=RolloutState.PROMOTED)
    return [*records, after(records[-1], promoted)]


def test_the_records_of_the_driver_have_no_violation() -> None:
    history = whole_rollout()
    back = structs.replace(ROLLOUT, id="s", state=RolloutState.ROLLED_BACK)
    begun = after(BASE, structs.replace(ROLLOUT, id="s"))
    assert list(violations(history)) == list(violations([BASE, begun, after(begun, back)])) == []
    assert promotions(history) == 1


def test_half_a_change_is_found() -> None:
    history = whole_rollout()
    unsplit = structs.replace(history[2], target=structs.replace(history[2].target, split={}))
    old = structs.replace(history[4], target=structs.replace(history[4].target, default="1.0.0"))
    dropped = structs.replace(history[2], target=structs.replace(history[2].target, wanted=("1.0.0",)))
    assert "{} at 50 %" in next(violations([*history[:2], unsplit, *history[3:]]))
    assert "promoted with default 1.0.0" in next(violations([*history[:4], old]))
    assert "1.1.0 is not among the wanted versions" in next(violations([*history[:2], dropped, *history[3:]]))


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([0, 1, 3], "generation 4 follows 2"),
        ([0, 1, 1], "step 0 follows 0"),
        ([0, 2, 1], "step 0 follows 1"),
        ([0, 1, 0], "replaced a running rollout"),
        ([0, 4, 3], "changed a rollout that had ended"),
    ],
)
def test_a_step_that_is_left_out_or_taken_back_is_found(order: list[int], words: str) -> None:
    history = whole_rollout()
    assert any(words in problem for problem in violations([history[number] for number in order]))


def test_a_generation_never_goes_back() -> None:
    seen = Changes()
    for generation in (3, 3, 4, 3):
        seen.look(generation)
    assert seen.broken == ["generation 3 was seen after 4"]


def test_a_wish_is_served_if_the_gateway_and_the_workers_have_exactly_its_versions() -> None:
    held = [{"version": version, "state": "held"} for version in ("1.0.0", "1.1.0")]
    view: dict[str, Any] = {
        "default": "1.1.0",
        "wanted": ["1.1.0", "1.0.0"],
        "split": {},
        "rollout": {"state": "promoted"},
        "serves": "1.1.0",
        "versions": held,
    }
    wish = Wish("1.1.0", ["1.0.0"])
    assert wish.is_served_by(view)
    for wrong in (
        {"serves": "1.0.0"},
        {"versions": held[:1]},
        {"rollout": {"state": "running"}},
        {"split": {"1.1.0": 100}},
    ):
        assert not wish.is_served_by(view | wrong)
