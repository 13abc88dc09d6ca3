"""The text of a model.toml: keys, values, and comments about what a person may decide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.specs import GoldenRow
from worker.models.drafting.artifact_facts import DraftFacts, DraftOutput
from worker.models.drafting.drafted_inputs import DraftInput

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_MOST_SEEN = 20
_HINTS_OF_IMAGES = (
    "# pixels become 0 to 1; as in the training, add to image: scale = 255.0 for 0 to 255, or",
    "# mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225], which are those of ImageNet",
)


@dataclass(frozen=True)
class Draft:
    """The content of a model.toml without its golden rows. `origin`: the files that it was made from."""

    name: str
    version: str
    origin: str
    facts: DraftFacts
    inputs: tuple[DraftInput, ...]
    requirements: tuple[str, ...] = ()


def model_toml(draft: Draft, golden: Sequence[GoldenRow]) -> str:
    head = {
        "name": draft.name,
        "framework": draft.facts.framework,
        "default_version": draft.version,
        "description": f"TODO: what {draft.name} predicts, and from what",
    }
    lines = [
        f"# A draft of `takt models new`, from {draft.origin}. Takt's models/README.md explains every key.",
        "# After a change: takt models verify",
        "",
        *_pairs(head | dict(draft.facts.keys)),
        *_classes(draft.facts),
        *_environment(draft.requirements),
        *(line for one in draft.inputs for line in _input(one)),
        *(line for output in draft.facts.outputs for line in _output(output)),
        *_options(draft.facts),
        *(line for row in golden for line in _golden(row)),
    ]
    return "\n".join(lines) + "\n"


def value_text(value: Any) -> str:
    """A value of TOML (Any: TOML's types)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key_text(key)} = {value_text(one)}" for key, one in value.items()) + " }"
    if isinstance(value, str):
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    return repr(value)


def key_text(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else value_text(key)


def _pairs(pairs: Mapping[str, Any]) -> list[str]:
    return [f"{key_text(key)} = {value_text(value)}" for key, value in pairs.items()]


def _environment(requirements: Sequence[str]) -> Iterator[str]:
    if requirements:
        yield from ("", "[environment]", *_pairs({"requirements": requirements}))


def _classes(facts: DraftFacts) -> Iterator[str]:
    if facts.classes:
        yield "# names of the classes, in the order of the model; other names may stand for numbers"
        yield from _pairs({"classes": facts.classes})


def _input(one: DraftInput) -> Iterator[str]:
    yield from ("", "[[inputs]]")
    most_length = 2 * one.longest or one.most_steps
    pairs = {
        "name": one.name,
        "column": one.column if one.column != one.name else None,
        "type": one.type.value,
        "shape": one.shape,
        "allowed": one.allowed,
        "nullable": one.nullable,
        "max_length": most_length,
        "image": one.image,
    }
    yield from _pairs({key: value for key, value in pairs.items() if value})
    yield from _seen(one)
    if one.example is not None:
        yield from _pairs({"example": one.example})


def _seen(one: DraftInput) -> Iterator[str]:
    """Comments about what the file and the sample show, as hints for limits."""
    if one.image.get("dtype") == "float32":
        yield from _HINTS_OF_IMAGES
    if one.seen:
        more = f" and {len(one.seen) - _MOST_SEEN} more" if len(one.seen) > _MOST_SEEN else ""
        yield f"# allowed = {value_text(one.seen[:_MOST_SEEN])}{more}  # known values; others are accepted"
    if one.least is not None:
        yield f"# minimum = {value_text(one.least)}  # of the sample"
        yield f"# maximum = {value_text(one.greatest)}"


def _output(output: DraftOutput) -> Iterator[str]:
    yield from ("", "[[outputs]]")
    pairs: dict[str, Any] = {"name": output.name, "view": output.view.value}
    pairs |= {"from": output.source} if output.source else {}
    pairs |= {"method": output.method} if output.method else {}
    pairs |= {"column": output.column} if output.column is not None else {}
    pairs |= {"type": output.type.value} if output.type else {}
    pairs |= {"shape": output.shape} if output.shape else {}
    pairs |= {"classes": output.classes} if output.classes else {}
    pairs |= {"description": output.description} if output.description else {}
    yield from _pairs(pairs)


def _options(facts: DraftFacts) -> Iterator[str]:
    if facts.options:
        yield from ("", f"[{key_text(facts.framework)}]", *_pairs(facts.options))


def _golden(row: GoldenRow) -> Iterator[str]:
    yield from ("", "[[golden]]", f"tolerance = {value_text(row.tolerance)}", "[golden.inputs]")
    yield from _pairs({name: value for name, value in row.inputs.items() if value is not None})
    yield "[golden.outputs]"
    yield from _pairs(row.outputs)
