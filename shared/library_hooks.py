"""Private parts of libraries that Takt overrides or calls, checked when the overriding module is imported.

A library may rename a private method in any release. An override of a method that no longer exists is never
called: without this check, uvicorn would silently serve without Takt's limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType, ModuleType

TESTED_RELEASES: Mapping[str, str] = MappingProxyType(
    {"uvicorn": "0.54.*", "celery": "5.7.*", "kombu": "5.7.*", "redis": "8.1.*"}
)
"""The releases with tested private parts; pyproject.toml requires exactly these."""


def require_hooks(
    library: str, owner: type | ModuleType, methods: Iterable[str], *, attributes: Iterable[str] = ()
) -> None:
    """Raises ImportError if `owner` lacks a method, or its `__init__` an attribute."""
    named_in_init = vars(owner)["__init__"].__code__.co_names if attributes else ()
    missing = [name for name in methods if not hasattr(owner, name)]
    missing += [name for name in attributes if name not in named_in_init]
    if missing:
        names = ", ".join(f"{owner.__name__}.{name}" for name in missing)
        raise ImportError(
            f"{library} {_installed(library)} has no {names}, which Takt overrides or calls. "
            f"Install a tested release: pip install '{library}=={TESTED_RELEASES[library]}'"
        )


def _installed(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "(unknown release)"
