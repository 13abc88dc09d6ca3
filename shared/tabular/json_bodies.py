"""JSON bodies in any charset (see `charsets`), and errors for bodies that are not JSON."""

from __future__ import annotations

import io
import json
from typing import Any

import msgspec

from shared.errors import InvalidInputError
from shared.tabular.content_types import parameter
from shared.tabular.file_signatures import HEAD_BYTES, recognized_without_mark
from shared.tabular.text_decoding import Text
from shared.validation_messages import of_msgspec

_MARKS_BEGIN = (b"\xef", b"\xff", b"\xfe", b"\0")


def in_utf_8(body: bytes, content_type: bytes) -> bytes:
    """Returns the body as UTF-8 without byte order mark. A body in UTF-8 is not copied.

    Raises InvalidInputError if the charset is unknown, or a byte is invalid in it.
    """
    if not body.startswith(_MARKS_BEGIN) and not names_charset(content_type):
        return body
    label = parameter(content_type.decode("latin-1"), "charset")
    return b"".join(Text(io.BytesIO(body), label, max(1, len(body))))


def names_charset(content_type: bytes) -> bool:
    """Whether a Content-Type declares a charset that is not UTF-8."""
    if content_type == b"application/json":
        return False
    lower = content_type.lower()
    return b"charset" in lower and b"utf-8" not in lower


def decoded(body: bytes) -> Any:  # Any: JSON
    """Decodes a JSON body, in which NaN and infinite numbers may occur as Python writes them.

    Raises InvalidInputError.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if b"NaN" not in body and b"Infinity" not in body:
            refuse_other(body)
            raise InvalidInputError(f"The body is {of_msgspec(str(error))}.") from None
    except RecursionError:
        raise InvalidInputError("The JSON is nested too deeply.") from None
    try:
        return json.loads(body)
    except ValueError as error:
        refuse_other(body)
        raise InvalidInputError(f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise InvalidInputError("The JSON is nested too deeply.") from None


def refuse_other(body: bytes) -> None:
    """Raises InvalidInputError if a body that is not JSON is a known kind of file, or not UTF-8."""
    found = recognized_without_mark(body[:HEAD_BYTES])
    if found is not None:
        raise InvalidInputError(f"The body is not JSON: it is {found[0]}. {found[1]}")
    for _ in Text(io.BytesIO(body), None, max(1, len(body))):
        pass
