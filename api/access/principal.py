"""Who asks. Every request has a principal: its key's owner; where none is asked for, the same for all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends, Request
from starlette.types import Scope

from api.access.quotas import Quota
from shared.access import DEFAULT_SHARE, OPEN_OWNER, Role, Share
from shared.errors import Forbidden, ModelNotFound
from shared.texts import did_you_mean, named

_PLACE = "takt.principal"


@dataclass(frozen=True)
class Principal:
    """The owner of the jobs that it submits."""

    name: str
    roles: frozenset[Role] = frozenset((Role.PREDICT, Role.SUBMIT, Role.READ))
    models: frozenset[str] | None = None
    """What it may see; None: every model."""
    allowance: Quota | None = None
    """What it may use up; None: nothing is limited."""
    share: Share = DEFAULT_SHARE
    """Of the service, beside other owners."""

    @property
    def online_owner(self) -> str:
        """By whom its predictions are counted; empty where there is one owner only."""
        return "" if self is ANONYMOUS else self.name

    def owns(self, owner: str) -> bool:
        """Whether this owner's jobs are for it."""
        return owner == self.name or self.sees_all_jobs

    @property
    def sees_all_jobs(self) -> bool:
        return Role.ADMIN in self.roles

    def may(self, role: Role) -> bool:
        return role in self.roles or Role.ADMIN in self.roles

    def require(self, role: Role) -> None:
        """Raises Forbidden."""
        if not self.may(role):
            raise Forbidden(f"This needs a key with the role {role.value!r}.")

    def sees(self, model: str) -> bool:
        return self.models is None or model in self.models

    def require_sight(self, model: str) -> None:
        """Raises ModelNotFound, in the words for a model that does not exist."""
        if not self.sees(model):
            raise no_such_model(model, self.models or ())


def no_such_model(model: str, seen: Iterable[str]) -> ModelNotFound:
    """`seen`: the models that the asker may see, whether or not they are there."""
    return ModelNotFound(f"There is no model {named(model)}.{did_you_mean(model, sorted(seen))}")


ANONYMOUS = Principal(OPEN_OWNER)
"""Everybody, where no key is asked for."""
STRANGER = Principal(OPEN_OWNER, frozenset(), frozenset())
"""Who has no good key where one is asked for."""


def let_in(scope: Scope, asker: Principal) -> None:
    """Say whose request this is, for those who answer it."""
    scope[_PLACE] = asker


def asker_of(scope: Scope) -> Principal:
    """Whose request this is: it was let in before any route was reached."""
    found: Principal = scope.get(_PLACE, ANONYMOUS)
    return found


async def principal(request: Request) -> Principal:
    return asker_of(request.scope)


Asker: TypeAlias = Annotated[Principal, Depends(principal)]
