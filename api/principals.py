"""Who asks. Every request has a principal; until access control is on, all are the same one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends


@dataclass(frozen=True)
class Principal:
    """The owner of the jobs that it submits."""

    name: str

    def owns(self, owner: str) -> bool:
        return owner == self.name


ANONYMOUS = Principal("anonymous")


async def principal() -> Principal:
    return ANONYMOUS


Asker: TypeAlias = Annotated[Principal, Depends(principal)]
