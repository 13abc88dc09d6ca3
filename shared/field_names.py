"""Names of inputs and outputs: any printable text, and the form in which two spellings are one name.

A name is in Unicode's normal form C. Names of files are compared by `spelled`: "온도" arrives decomposed from
macOS, a header may begin with a byte order mark, and a cell of Excel may contain a line break.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

MOST_FIELD_NAME_CHARS = 128
_BYTE_ORDER_MARK = "\ufeff"
_JOINERS = "\u200c\u200d"  # part of words in Persian, Hindi and others
_SPACES = "Zs"


def composed(text: str) -> str:
    """The text in normal form C."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def decomposed(text: str) -> str:
    """The text in normal form D, as macOS writes it."""
    return text if text.isascii() else unicodedata.normalize("NFD", text)


def spelled(text: str) -> str:
    """The form in which names of columns are compared: composed, without a byte order mark, with one space
    for each run of white space, and none at the ends."""
    return " ".join(composed(text).replace(_BYTE_ORDER_MARK, "").split())


def _printable(name: str) -> str:
    """Raises ValueError unless every character has a shape or is a space within the name."""
    name = composed(name)
    if not name.strip():
        raise ValueError("a name needs a printable character")
    if name != name.strip():
        raise ValueError(f"{name!r} begins or ends with a space; `column` may contain it")
    odd = [char for char in name if not is_printable(char)]
    if odd:
        raise ValueError(f"{name!r} contains {odd[0]!r}, which is not printable; `column` may contain it")
    return name


def is_printable(char: str) -> bool:
    """Whether a character may be part of a name."""
    return char.isprintable() or char in _JOINERS or unicodedata.category(char) == _SPACES


FieldName = Annotated[str, Field(max_length=MOST_FIELD_NAME_CHARS), AfterValidator(_printable)]
"""The name of an input or output, as clients read and write it."""
