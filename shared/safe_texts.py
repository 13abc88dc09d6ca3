"""Foreign texts, made safe to repeat: of bounded length, and without terminal escape sequences.

Every error passes through here (`shared/errors.py`), and every text of a log event (`shared/logs.py`): no
answer, job record or log line grows with a client's input.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice

MOST_TEXT_CHARS = 2000
"""Limit of an error's detail."""
MOST_NAME_CHARS = 80
"""Limit of a name from a client: a column, a field, a model."""
MOST_FOREIGN_CHARS = 200
"""Limit of a message from a library or a model."""
MOST_NAMES = 20
"""Limit of a list of names."""
_MOST_CANDIDATES = 500
_LONGEST_FIRST_LINE = 4000
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_PATH = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?(?:[\\/][\w.@+~-]+)*[\\/]([\w.@+~-]+)")
_URL = re.compile(r"\bhttps?://\S+")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
_PLACE = re.compile(
    r"^(?:\[\d\d:\d\d:\d\d\] )?[\w./]+\.(?:cc|cpp|h|hpp|cu):\d+:? |\[ONNXRuntimeError\] : \d+ : \w+ : "
)
"""The place in the source from which a library reports."""
_SCRIPT_FAILED = "The following operation failed in the TorchScript interpreter."
"""The first line of an error in a TorchScript; a later line says what failed."""
_NAMED_ERROR = re.compile(r"^\w+Error: (.+)$", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_ADVICE = re.compile(
    r"(please|consider|try|use|set|see|pass|compile|reshape|you (can|may|should|need|must|might)|if you|"
    r"did you|to (fix|avoid|disable|silence|suppress)|for (debugging|more|further)|make sure|note|hint)\b",
    re.IGNORECASE,
)
_ABOUT = re.compile(r"[\s_\-.]+")


def bounded(text: str, most: int = MOST_TEXT_CHARS) -> str:
    """The text without escape sequences and control characters, cut to `most` characters."""
    plain = _CONTROL.sub("�", _ANSI.sub("", text[: most + 200]))
    return plain if len(plain) <= most and len(text) <= most + 200 else f"{plain[: most - 1]}…"


def size_text(size_bytes: float) -> str:
    """A size with its unit: `0 B`, `12.5 MiB`."""
    power = min(max(int(size_bytes).bit_length() - 1, 0) // 10, 4)
    return f"{size_bytes / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def named(name: object, most: int = MOST_NAME_CHARS) -> str:
    """A name in quotes."""
    return repr(bounded(str(name), most))


def first_of(names: Sequence[object], most: int = MOST_NAMES) -> str:
    """The first names of a list, in quotes, and how many more there are; `none` for an empty list."""
    if not names:
        return "none"
    shown = ", ".join(map(named, names[:most]))
    more = len(names) - most
    return f"{shown} and {more} more" if more > 0 else shown


def listed(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """Like `first_of`, for Takt's own names: without quotes."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def names_in(text: str) -> list[str]:
    """The names in a comma-separated list; a name that contains a comma is in quotes."""
    try:
        names = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error:  # a line break outside of quotes
        names = text.split(",")
    return [name.strip() for name in names if name.strip()]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most similar to `name`; None if none is similar."""
    asked = name[:MOST_NAME_CHARS]
    candidates = [candidate for candidate in islice(known, _MOST_CANDIDATES) if candidate != name]
    same = next((candidate for candidate in candidates if alike(candidate) == alike(asked)), None)
    if same is not None:
        return same
    by_lower_case = {
        candidate.lower(): candidate
        for candidate in reversed(candidates)
        if len(candidate) <= MOST_NAME_CHARS
    }
    found = get_close_matches(asked.lower(), by_lower_case, n=1, cutoff=0.7)
    return by_lower_case[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean …?`, to append to a sentence; empty if no known name is similar."""
    found = nearest(name, known)
    return "" if found is None else f" Did you mean {named(found)}?"


def alike(name: str) -> str:
    """A name without case, spaces and separators, for comparison."""
    return _ABOUT.sub("", name.casefold())


def foreign_words(error: BaseException, most: int = MOST_FOREIGN_CHARS) -> str:
    """The message of an exception of a library or of a model's code, as a client may read it.

    Its first line, without paths and addresses of the machine, and without advice for developers.
    """
    return foreign_text(_message(error), most)


def foreign_text(text: str, most: int = MOST_FOREIGN_CHARS) -> str:
    """The same of a text."""
    if text.lstrip().startswith(_SCRIPT_FAILED) and (found := _NAMED_ERROR.search(text)):
        text = found[1]
    lines = _ANSI.sub("", text[:_LONGEST_FIRST_LINE]).splitlines()
    first = next(filter(None, map(str.strip, lines)), "")
    plain = _PLACE.sub("", _ADDRESS.sub("…", _URL.sub("…", _PATH.sub(r"\1", first))))
    sentences = _SENTENCE.split(plain)
    kept = [sentence for sentence in sentences if not _ADVICE.match(sentence)] or sentences[:1]
    return bounded(" ".join(kept), most)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a model's own exception class may fail in __str__
        return ""
