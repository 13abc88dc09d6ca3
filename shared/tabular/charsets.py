"""Character sets of text bodies: labels, byte order marks, and messages for invalid bytes.

CSV, NDJSON, JSON and forms follow the same rule: a byte order mark decides, then the declared charset; the
default is UTF-8. Labels have the meaning of the WHATWG Encoding Standard, as in browsers, Java and .NET:
`euc-kr` is Windows code page 949, `latin1` is Windows code page 1252.
"""

from __future__ import annotations

import codecs

import webencodings

from shared.errors import InvalidInputError
from shared.input_problems import InputProblem

UTF_8 = "utf-8"
_CODECS = {"gbk": "gb18030", "replacement": "", "x-user-defined": ""}
"""WHATWG name → codec, if webencodings uses another; empty if the name is not a charset for files."""
_MARKS = (
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: this mark begins with the UTF-16 mark
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_GUESSED = "cp949"
_SHOWN_BYTES = 1024


def codec_of(label: str) -> str:
    """Returns Python's codec for a label. Raises InvalidInputError if the label is not a charset for text."""
    if codec := _by_label(label):
        return codec
    try:
        "".encode(label)
        own_name = codecs.lookup(label).name
    except (LookupError, UnicodeError, ValueError):
        reason = f"unknown charset {label[:40]!r}"
        problem = InputProblem(
            row=None, field="charset", loc=["charset"], msg=reason, type="invalid_parameter"
        )
        raise InvalidInputError(reason, problems=[problem]) from None
    return _by_label(own_name) or _by_label(own_name.replace("_", "-")) or own_name


def _by_label(label: str) -> str:
    """Returns the codec of a WHATWG label; empty if the label is unknown."""
    found = webencodings.lookup(label)
    return "" if found is None else _CODECS.get(found.name, found.codec_info.name)


def of_body(head: bytes, label: str | None) -> tuple[str, int]:
    """Returns the codec of a text and the length of its byte order mark. `label` is the declared charset.

    Raises InvalidInputError if the declared charset is unknown.
    """
    declared = codec_of(label) if label else UTF_8
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return codec, len(mark)
    return declared, 0


def not_of_charset(codec: str, *, declared: bool, line: int, place: int, line_bytes: bytes, at: int) -> str:
    """Returns the message for an invalid byte.

    `place` is the byte's offset in the body, `at` its offset in `line_bytes`, the line that contains it.
    """
    name = codec.upper() if codec.startswith("utf") else codec
    fact = f"The body is not {name}: line {line} has the byte 0x{line_bytes[at]:02X} at offset {place}."
    if declared:
        return f"{fact} Declare the charset in which the file was saved, for example charset=utf-8."
    if _is_korean(line_bytes[max(0, at - _SHOWN_BYTES) : at + _SHOWN_BYTES]):
        return f"{fact} The line is valid {_GUESSED}: declare it with charset={_GUESSED}."
    return f"{fact} If the file has another charset, declare it, for example charset=cp949."


def cut_within_character(codec: str, line: int) -> str:
    """Returns the message for a text that ends within a character."""
    name = codec.upper() if codec.startswith("utf") else codec
    return f"The body is cut off, or is not {name}: line {line} ends within a character."


def _is_korean(line: bytes) -> bool:
    """Whether the bytes are valid cp949 and contain Hangul; the last character may be incomplete."""
    try:
        text = codecs.getincrementaldecoder(_GUESSED)().decode(line)
    except UnicodeDecodeError:
        return False
    return any("\uac00" <= character <= "\ud7a3" for character in text)
