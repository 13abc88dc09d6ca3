"""The versions of all running parts, and the settings in force."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, SecretStr

from api.gateway import GatewayState
from api.http.error_answers import of_errors
from shared import VERSION
from shared.settings import Settings

router = APIRouter(tags=["operations"])

MASK = "**********"
_PACKAGES = (
    "fastapi", "uvicorn", "uvloop", "starlette", "pydantic", "msgspec", "redis", "celery", "numpy", "pyarrow",
    "obstore", "grpcio",
)  # fmt: skip


class PartVersions(BaseModel):
    takt: str = Field(description="Empty: unknown, a worker of an earlier version")
    python: str
    packages: dict[str, str]


class WorkerVersions(PartVersions):
    worker: str


class Versions(BaseModel):
    gateway: PartVersions
    queue: dict[str, str] = Field(description="The server's name and version")
    workers: list[WorkerVersions]


class SettingInForce(BaseModel):
    variable: str
    value: str | int | float | bool | None = Field(description=f"A secret that is set is {MASK}")
    is_default: bool


class SettingsInForce(BaseModel):
    settings: list[SettingInForce]


@router.get("/versions", responses=of_errors(503))
async def versions(gateway: GatewayState) -> Versions:
    """Versions of this gateway, the queue's server, and the live workers, with their libraries."""
    gateway.queue.require()
    info: Any = await gateway.client.info("server")
    return Versions(
        gateway=PartVersions(takt=VERSION, python=platform.python_version(), packages=_installed()),
        queue=_server(info),
        workers=[
            WorkerVersions(
                worker=worker.id,
                takt=worker.versions.get("takt", ""),
                python=worker.versions.get("python", ""),
                packages={
                    name: one for name, one in worker.versions.items() if name not in ("takt", "python")
                },
            )
            for worker in gateway.fleet.now.workers
        ],
    )


@router.get("/settings")
async def settings(gateway: GatewayState) -> SettingsInForce:
    """The settings of this gateway process. Secrets are masked."""
    return SettingsInForce(settings=settings_in_force(gateway.settings))


def settings_in_force(chosen: Settings) -> list[SettingInForce]:
    """All settings, in their declared order."""
    return [
        SettingInForce(
            variable=f"TAKT_{name.upper()}",
            value=_shown(getattr(chosen, name)),
            is_default=getattr(chosen, name) == field.get_default(call_default_factory=True),
        )
        for name, field in Settings.model_fields.items()
    ]


def _shown(value: object) -> str | int | float | bool | None:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _installed() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # of an extra
            continue
    return found


def _server(info: dict[str, Any]) -> dict[str, str]:
    name = "valkey" if "valkey_version" in info else "redis"
    return {"name": name, "version": str(info.get(f"{name}_version", ""))}
