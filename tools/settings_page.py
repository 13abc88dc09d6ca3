"""`python -m tools.settings_page > docs/settings.md`: the reference of all settings, made of the code."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from shared.settings import Settings

_HEAD = """# Settings

Every setting is an environment variable, read once when a program starts. Names carry their unit. A wrong
value stops the program with the setting's name; the value itself is not repeated: it may be a secret.
A variable that begins with `TAKT_` and is not in this table has no effect: each program warns of it as it
starts, with the nearest name, and `takt doctor` lists it, also from a `.env` file in the current folder.

Settings that end in `_BYTES` take a number of bytes or a size: `10GB`, `64k` (powers of 1000), `512MiB`,
`64Ki` (powers of 1024).

This page is made by `python -m tools.settings_page > docs/settings.md`, and a test keeps it true.

| variable | default | allowed | what |
|---|---|---|---|
"""
_BOUNDS = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}", "pattern": "`{}`"}


def page() -> str:
    """The page, in the order of `shared/settings.py`."""
    rows = (_row(name, field) for name, field in Settings.model_fields.items())
    return _HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _row(name: str, field: FieldInfo) -> tuple[str, ...]:
    cells = (_default(field), ", ".join(_allowed(field)), field.description or "")
    return f"`TAKT_{name.upper()}`", *(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the host's name"
    shown = _plain(field.default)
    return f"`{shown}`" if shown else ""


def _plain(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return value.get_secret_value()  # a default, which everybody may see
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case StrEnum():
            return value.value
        case Path() | str() | int() | float():
            return str(value)
    raise TypeError(f"no words for a default of {type(value)}")


def _allowed(field: FieldInfo) -> Iterator[str]:
    if field.annotation is bool:
        yield "`true`, `false`"
    choices: tuple[Any, ...] = get_args(field.annotation)  # Any: a Literal's values
    if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum):
        choices = tuple(field.annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        yield ", ".join(f"`{choice}`" for choice in choices)
    for constraint in field.metadata:
        for bound, words in _BOUNDS.items():
            if (limit := getattr(constraint, bound, None)) is not None:
                yield words.format(_plain(limit))


if __name__ == "__main__":
    print(page(), end="")
