"""Deployments: which versions of a model are served, and how requests are divided between them.

A deployment is a record in Redis, one per model, with a generation that each change increases. Gateways route
by it, and workers load what it wants. A model without a record is served as its model.toml declares it.

Cjson writes an empty list and an empty object alike, so that optional collections are absent when they are
empty.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from shared import keys
from shared.errors import InvalidInputError
from shared.rollouts import Rollout, RolloutRequest
from shared.shadowing import Shadow
from shared.specs import VERSION

DEPLOY = (Path(__file__).parent / "scripts" / "deploy.lua").read_text(encoding="utf-8")
MOST_HISTORY = 1000
"""Kept changes of a model's deployment, approximately."""
MOST_WANTED = 32
WHOLE = 100.0
"""The sum of a split, in percent."""
ALIAS = r"[a-z][a-z0-9_-]{0,62}"

Version: TypeAlias = Annotated[str, Meta(pattern=VERSION, max_length=128)]
Percent: TypeAlias = Annotated[float, Meta(ge=0, le=WHOLE)]


class Target(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is served of a model."""

    wanted: Annotated[tuple[Version, ...], Meta(min_length=1, max_length=MOST_WANTED)]
    """The versions that workers load."""
    default: Version
    """The version of requests that name none."""
    aliases: dict[Annotated[str, Meta(pattern=f"^{ALIAS}$")], Version] = {}
    """Names that requests may use in place of a version."""
    split: dict[Version, Percent] = {}
    """Percent of the requests that name no version, by version; empty: all go to `default`."""
    unloaded: bool = False
    """Workers hold no version until the model is loaded or deployed again; the rest is kept until then."""
    shadow: Shadow | None = None
    """A version that also runs a share of the requests; its answers are compared, and not sent."""

    @property
    def loaded(self) -> tuple[Version, ...]:
        """The versions that workers hold."""
        return () if self.unloaded else self.wanted

    def problem(self) -> str | None:
        """Why the parts contradict each other; None: they do not."""
        if len(set(self.wanted)) < len(self.wanted):
            return "wanted: a version occurs twice"
        named = {"default": [self.default], "split": list(self.split), "aliases": list(self.aliases.values())}
        for part, versions in named.items():
            for version in versions:
                if version not in self.wanted:
                    return f"{part}: {version} is not among the wanted versions"
        if self.split and abs(sum(self.split.values()) - WHOLE) > 1e-6:
            return f"split: its percentages sum to {sum(self.split.values()):g}, not to 100"
        if any(re.fullmatch(VERSION, alias) for alias in self.aliases):
            return "aliases: a name must not have the form of a version"
        return self._problem_of_shadow()

    def _problem_of_shadow(self) -> str | None:
        if self.shadow is None:
            return None
        if self.shadow.version not in self.wanted:
            return f"shadow: {self.shadow.version} is not among the wanted versions"
        if self.shadow.version == self.default:
            return f"shadow: {self.default} is the default; a shadow is another version"
        return None


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who changed a deployment, and why."""

    by: str
    reason: str = ""


class Deployment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A deployment as it is stored."""

    model: str
    target: Target
    change: Change
    replaced: Target | None = None
    """What the last promotion replaced: the target of a rollback."""
    rollout: Rollout | None = None
    """The newest rollout, running or ended; None after another change."""
    generation: int = 0
    changed_at_ms: int = 0  # by Redis' clock

    @property
    def shadow(self) -> Shadow | None:
        """The shadow that runs now: that of a rollout with `max_disagreement`, else the target's."""
        if self.target.unloaded:
            return None
        if self.rollout is not None and self.rollout.shadows:
            rules = self.rollout.rules
            return Shadow(version=self.rollout.to, share=rules.shadow_share, tolerance=rules.tolerance)
        return self.target.shadow


class DeploymentRequest(Target, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of `PUT /models/{name}/deployment`."""

    reason: Annotated[str, Meta(max_length=500)] = ""

    @property
    def target(self) -> Target:
        return Target(**{name: getattr(self, name) for name in Target.__struct_fields__})


T = TypeVar("T", DeploymentRequest, RolloutRequest)


def read_request(body: bytes) -> DeploymentRequest:
    """The deployment that a request's body asks for. Raises InvalidInputError."""
    return _read(body, DeploymentRequest, "a deployment")


def read_rollout(body: bytes) -> RolloutRequest:
    """The rollout that a request's body asks for. Raises InvalidInputError."""
    return _read(body, RolloutRequest, "a rollout")


def _read(body: bytes, kind: type[T], about: str) -> T:
    try:
        asked = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(f"The body is not {about}: {error}") from None
    if problem := asked.problem():
        raise InvalidInputError(problem)
    return asked


def encode_deployment(deployment: Deployment) -> bytes:
    return msgspec.json.encode(deployment)


def decode_deployment(text: bytes) -> Deployment | None:
    """None if the record cannot be read, for example because a newer Takt wrote it."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return None


def script_keys(model: str) -> list[str]:
    """The keys of the script `DEPLOY`."""
    return [keys.deployments(), keys.deployments_version(), keys.deployment_history(model)]


def script_arguments(deployment: Deployment, expected: int | None) -> list[Any]:  # Any: redis-py's types
    """The arguments of the script `DEPLOY`. `expected`: the generation that is replaced; None: any."""
    text = encode_deployment(deployment)
    return [deployment.model, "" if expected is None else expected, text, MOST_HISTORY]


_decoder = msgspec.json.Decoder(Deployment)
