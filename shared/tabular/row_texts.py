"""The rows of a JSON body as texts, and their kept columns.

A kept field is removed from its row before validation, unless it is also an input. Its column has the type of
its values: booleans, integers, numbers or texts. Values of mixed types, objects and lists become texts:
strings unchanged, everything else as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import pyarrow as pa
from msgspec import Raw

from shared.errors import InvalidInputError
from shared.input_problems import InputProblem
from shared.safe_texts import named
from shared.specs import ModelSpec

_FORMS = {ord("{"): "an object", ord("["): "a list"}
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Raised for a text that was skipped as JSON, and is found not to be JSON when it is read."""
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode = msgspec.json.decode
_encode = msgspec.json.encode


@dataclass(frozen=True)
class RowTexts:
    """Rows as unvalidated JSON texts; `kept` maps a name to a value per row."""

    texts: Sequence[Raw | bytes]
    kept: Mapping[str, pa.Array] = field(default_factory=dict)

    def joined(self, first: int, stop: int) -> bytes:
        """Returns the rows from `first` to `stop` as a JSON array."""
        return b"[%s]" % b",".join(map(bytes, self.texts[first:stop]))


def row_texts(spec: ModelSpec, inputs: Sequence[Raw], kept: Sequence[str]) -> RowTexts:
    """Raises InvalidInputError if objects and lists are mixed, if kept fields are requested and a row is not
    an
    object, and if no row has a kept field."""
    _require_one_form(inputs)
    if not kept:
        return RowTexts(inputs)
    aside = set(kept).difference(spec.input_keys)
    rows = [_object(place, row) for place, row in enumerate(inputs)]
    columns = {name: _column(name, [row.get(name) for row in rows]) for name in kept}
    return RowTexts([_without(row, aside) for row in rows], columns)


def _require_one_form(inputs: Sequence[Raw]) -> None:
    first = _FORMS.get(memoryview(inputs[0])[0])
    for place, row in enumerate(inputs):
        form = _FORMS.get(memoryview(row)[0], first)
        if form != first:
            raise _invalid(
                place, None, f"is {form}, but row 0 is {first}: all rows of a job must have the same form"
            )


def _object(place: int, row: Raw) -> dict[str, Raw]:
    try:
        return _fields(row)
    except msgspec.ValidationError:
        reason = "is not an object: keep_columns and id_column need field names"
        raise _invalid(place, None, reason) from None
    except _UNREADABLE:
        raise _invalid(place, None, "is not JSON: a name or a value in it cannot be read") from None


def _without(row: Mapping[str, Raw], aside: set[str]) -> bytes:
    pairs = (b"%s:%s" % (_encode(name), bytes(value)) for name, value in row.items() if name not in aside)
    return b"{%s}" % b",".join(pairs)


def _column(name: str, texts: Sequence[Raw | None]) -> pa.Array:
    if not any(texts):
        raise _invalid(None, name, "no row has this field of keep_columns or id_column")
    values = [None if text is None else _value(place, name, text) for place, text in enumerate(texts)]
    kind = _kind(values)
    return pa.array(values if kind else map(_text, values), kind or pa.string())


def _value(place: int, name: str, text: Raw) -> object:
    try:
        return _decode(text)
    except _UNREADABLE:
        raise _invalid(place, name, f"has a field {named(name)} that is not JSON") from None


def _kind(values: Iterable[object]) -> pa.DataType | None:
    """Returns the common type of all values, or None."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        return pa.int64() if all(abs(v) < 2**63 for v in values if isinstance(v, int)) else None
    if kinds == {bool}:
        return pa.bool_()
    if kinds and kinds <= {int, float}:
        return pa.float64()
    return None


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else _encode(value).decode()


def _invalid(row: int | None, field: str | None, reason: str) -> InvalidInputError:
    loc: list[int | str] = ["inputs"] if row is None else ["inputs", row]
    problem = InputProblem(row=row, field=field, loc=loc, msg=reason, type="rows")
    location = f"row {row}" if row is not None else f"{field}:"
    return InvalidInputError(f"{location} {reason}.", problems=[problem])
