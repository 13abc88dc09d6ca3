"""The rows of a JSON body as texts, and the columns of them that come back in the result.

A kept field is taken out of its row's object before the row is checked, unless it is an input too. Its column
has the type of its values: booleans, whole numbers, numbers, or texts. Where they differ, or are objects or
lists, each becomes a text: strings as they are, everything else as its JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import pyarrow as pa
from msgspec import Raw

from shared.errors import InvalidInput, Problem
from shared.specs import ModelSpec

_FORMS = {ord("{"): "an object", ord("["): "a list"}
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode = msgspec.json.decode
_encode = msgspec.json.encode


@dataclass(frozen=True)
class RowTexts:
    """Each row a JSON text, not checked yet; `kept`: by name, a value for each row."""

    texts: Sequence[Raw | bytes]
    kept: Mapping[str, pa.Array] = field(default_factory=dict)

    def joined(self, first: int, stop: int) -> bytes:
        """Some of the rows as one JSON array."""
        return b"[%s]" % b",".join(map(bytes, self.texts[first:stop]))


def row_texts(spec: ModelSpec, inputs: Sequence[Raw], kept: Sequence[str]) -> RowTexts:
    """Raises InvalidInput if rows are of both forms, where one cannot hold what is to be kept, and where
    a column stands in no row."""
    _require_one_form(inputs)
    if not kept:
        return RowTexts(inputs)
    aside = set(kept).difference(spec.input_names)
    rows = [_object(place, row) for place, row in enumerate(inputs)]
    columns = {name: _column(name, [row.get(name) for row in rows]) for name in kept}
    return RowTexts([_without(row, aside) for row in rows], columns)


def _require_one_form(inputs: Sequence[Raw]) -> None:
    first = _FORMS.get(memoryview(inputs[0])[0])
    for place, row in enumerate(inputs):
        form = _FORMS.get(memoryview(row)[0], first)
        if form != first:
            raise _invalid(
                place, None, f"is {form}, but row 0 is {first}: the rows of a job are all of one form"
            )


def _object(place: int, row: Raw) -> dict[str, Raw]:
    try:
        return _fields(row)
    except msgspec.MsgspecError:
        reason = "is no object: only named fields can be kept (keep_columns, id_column)"
        raise _invalid(place, None, reason) from None


def _without(row: Mapping[str, Raw], aside: set[str]) -> bytes:
    pairs = (b"%s:%s" % (_encode(name), bytes(value)) for name, value in row.items() if name not in aside)
    return b"{%s}" % b",".join(pairs)


def _column(name: str, texts: Sequence[Raw | None]) -> pa.Array:
    if not any(texts):
        raise _invalid(None, name, "no row has this field, which is to be kept")
    values = [None if text is None else _decode(text) for text in texts]
    kind = _kind(values)
    return pa.array(values if kind else map(_text, values), kind or pa.string())


def _kind(values: Iterable[object]) -> pa.DataType | None:
    """The one type of all values; None where there is none."""
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


def _invalid(row: int | None, field: str | None, reason: str) -> InvalidInput:
    loc: list[int | str] = ["inputs"] if row is None else ["inputs", row]
    problem = Problem(row=row, field=field, loc=loc, msg=reason, type="rows")
    where = f"row {row}" if row is not None else f"{field}:"
    return InvalidInput(f"{where} {reason}.", problems=[problem])
