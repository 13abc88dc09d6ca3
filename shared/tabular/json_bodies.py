"""JSON bodies in any charset: the rule of all texts (`charsets`), and what a body is that is no JSON."""

from __future__ import annotations

import io

from shared.errors import InvalidInput
from shared.tabular.formats import parameter
from shared.tabular.signatures import HEAD_BYTES, recognized_without_mark
from shared.tabular.text import Text

_MARKS_BEGIN = (b"\xef", b"\xff", b"\xfe", b"\0")


def in_utf_8(body: bytes, content_type: bytes) -> bytes:
    """The body as UTF-8 without its byte order mark. Costs nothing if the body declares no other charset.

    Raises InvalidInput if the charset is not known, or a byte is not of it.
    """
    if not body.startswith(_MARKS_BEGIN) and not names_charset(content_type):
        return body
    label = parameter(content_type.decode("latin-1"), "charset")
    return b"".join(Text(io.BytesIO(body), label, max(1, len(body))))


def names_charset(content_type: bytes) -> bool:
    """Whether a Content-Type declares a charset that is not UTF-8."""
    if content_type == b"application/json":
        return False
    said = content_type.lower()
    return b"charset" in said and b"utf-8" not in said


def refuse_other(body: bytes) -> None:
    """Raises InvalidInput if a body that is no JSON is another kind of file, or not UTF-8."""
    found = recognized_without_mark(body[:HEAD_BYTES])
    if found is not None:
        raise InvalidInput(f"The body is not JSON: it is {found[0]}. {found[1]}")
    for _ in Text(io.BytesIO(body), None, max(1, len(body))):
        pass
