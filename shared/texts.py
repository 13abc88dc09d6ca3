"""Texts that came from outside, as they are said again: of bounded length, without what commands a terminal.

Every error passes through here (`shared/errors.py`), and every text of a log event (`shared/logs.py`): no
answer, job record or log line grows with what a client sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice

MOST_TEXT_CHARS = 2000
"""Of the detail of an error."""
MOST_NAME_CHARS = 80
"""Of a name that a client sent: a column, a field, a model."""
MOST_FOREIGN_CHARS = 200
"""Of what a library or a model says."""
MOST_NAMES = 20
"""Of a list of names."""
_MOST_CANDIDATES = 500
_LONGEST_FIRST_LINE = 4000
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_PATH = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?(?:[\\/][\w.@+~-]+)*[\\/]([\w.@+~-]+)")
_URL = re.compile(r"\bhttps?://\S+")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_ADVICE = re.compile(
    r"(please|consider|try|use|set|see|pass|compile|reshape|you (can|may|should|need|must|might)|if you|"
    r"did you|to (fix|avoid|disable|silence|suppress)|for (debugging|more|further)|make sure|note|hint)\b",
    re.IGNORECASE,
)
_ABOUT = re.compile(r"[\s_\-.]+")


def bounded(text: str, most: int = MOST_TEXT_CHARS) -> str:
    """The text without escape sequences and control characters, cut where it is longer than `most`."""
    plain = _CONTROL.sub("�", _ANSI.sub("", text[: most + 200]))
    return plain if len(plain) <= most and len(text) <= most + 200 else f"{plain[: most - 1]}…"


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
    """The same of names that are ours, without quotes."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that somebody most likely meant; None if none is near."""
    asked = name[:MOST_NAME_CHARS]
    candidates = [one for one in islice(known, _MOST_CANDIDATES) if one != name]
    same = next((one for one in candidates if alike(one) == alike(asked)), None)
    if same is not None:
        return same
    by_lower_case = {one.lower(): one for one in reversed(candidates) if len(one) <= MOST_NAME_CHARS}
    found = get_close_matches(asked.lower(), by_lower_case, n=1, cutoff=0.7)
    return by_lower_case[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean …?`, to put behind a sentence; empty if nothing is near."""
    found = nearest(name, known)
    return "" if found is None else f" Did you mean {named(found)}?"


def alike(name: str) -> str:
    """What is left of a name without case, blanks and what joins its words."""
    return _ABOUT.sub("", name.casefold())


def foreign_words(error: BaseException, most: int = MOST_FOREIGN_CHARS) -> str:
    """What a library, or the code of a model, says in an exception, as a client may read it.

    Its first line, without the paths and addresses of the machine, and without advice for developers.
    """
    lines = _ANSI.sub("", _said(error)[:_LONGEST_FIRST_LINE]).splitlines()
    first = next(filter(None, map(str.strip, lines)), "")
    plain = _ADDRESS.sub("…", _URL.sub("…", _PATH.sub(r"\1", first)))
    sentences = _SENTENCE.split(plain)
    kept = [sentence for sentence in sentences if not _ADVICE.match(sentence)] or sentences[:1]
    return bounded(" ".join(kept), most)


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # of a model's own class of exceptions
        return ""
