"""Splits CSV text into blocks of complete records, only at line ends outside of quotes.

Arrow's reader treats the end of the data as the end of a quoted cell, and loses a line feed at the start of a
block (apache/arrow#51368). The blocks therefore begin and end with a record, never between a carriage return
and its line feed. A quoted cell that is never closed is rejected.

A quote opens a cell only at the beginning of the cell; elsewhere it is an ordinary character, as in Arrow and
in Python's csv module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.errors import InvalidInputError

Places: TypeAlias = NDArray[np.int64]
_NONE: Places = np.array([], np.int64)
_LF, _CR = b"\n", b"\r"


@dataclass(frozen=True)
class Block:
    """Complete records.

    `line` is the first line, from 1; `ended` is set if the last record has a line end.
    """

    data: bytes
    line: int
    ended: bool


@dataclass(frozen=True)
class Quoted:
    """The offsets of the opening and closing quotes of a text's quoted cells. The last may be unclosed."""

    opened: Places
    closed: Places

    def around(self, place: int) -> int | None:
        """Returns the opening quote of the quoted cell that contains `place`, or None."""
        before = int(np.searchsorted(self.opened, place)) - 1
        if before < 0 or (before < len(self.closed) and place > self.closed[before]):
            return None
        return int(self.opened[before])

    def hold(self, places: Places) -> NDArray[np.bool_]:
        """For each place, whether it is within a quoted cell."""
        return np.searchsorted(self.opened, places) > np.searchsorted(self.closed, places)


class Records:
    """The records of a text, in blocks. Iterating raises InvalidInputError if a quoted cell is never
    closed."""

    def __init__(self, text: Iterator[bytes], *, delimiter: str, quote: str, most_bytes: int) -> None:
        self._text = text
        self._quoted = QuotedCells(delimiter, quote)
        self._most_bytes = most_bytes
        self._rest = b""
        self._line = 1
        self._over = False
        self.one_line = False
        """Whether the text consists of a single record on a single line."""

    def first(self) -> bytes:
        """Returns the first non-empty record without its line end; empty if there is none."""
        while block := self._next():
            begin = len(block.data) - len(block.data.lstrip(b"\r\n"))
            if begin < len(block.data):
                stop = self._end_of_first(block.data, begin)
                self._rest, self._line = block.data[stop:] + self._rest, block.line
                self._line += line_ends(block.data[:stop])
                record = block.data[begin:stop].rstrip(b"\r\n")
                self.one_line = not line_ends(record) and self._is_over()
                return record
        return b""

    def __iter__(self) -> Iterator[Block]:
        while block := self._next():
            yield block

    def lines_of(self, block: Block) -> Places:
        """The line of the file in which each record of a block begins; an empty line is no record."""
        characters = np.frombuffer(block.data, np.uint8)
        ends = _places_of_line_ends(characters)
        begins = np.concatenate(([0], ends[~self._quoted.of(block.data).hold(ends)] + 1))
        begins = begins[begins < len(characters)]
        begins = begins[~np.isin(characters[begins], (_LF[0], _CR[0]))]
        return np.asarray(block.line + np.searchsorted(ends, begins), np.int64)

    def _is_over(self) -> bool:
        """Whether nothing but line ends follows."""
        if not self._over and not self._rest.strip():
            self._read()
        return self._over and not self._rest.strip()

    def _next(self) -> Block | None:
        while True:
            block = self._cut()
            if block is not None or (self._over and not self._rest):
                return block
            self._read()

    def _read(self) -> None:
        data = next(self._text, None)
        self._over = data is None
        self._rest += data or b""

    def _cut(self) -> Block | None:
        """Returns the complete records of the data read so far; None if there is none yet."""
        if not self._rest:
            return None
        quoted = self._quoted.of(self._rest)
        if len(quoted.opened) > len(quoted.closed):
            self._require_end(int(quoted.opened[-1]))
        stop = self._stop(quoted)
        if len(self._rest) - stop >= self._most_bytes:
            line = self._line + line_ends(self._rest[:stop])
            raise InvalidInputError(
                f"The body cannot be read: line {line} is longer than {self._most_bytes} bytes."
            )
        if not stop:
            return None
        return self._taken(stop, quoted)

    def _taken(self, stop: int, quoted: Quoted) -> Block:
        data, self._rest = self._rest[:stop], self._rest[stop:]
        self._quoted.require_ends(data, quoted, self._line)
        block = Block(data, self._line, data.endswith((_LF, _CR)))
        self._line += line_ends(data)
        return block

    def _require_end(self, opened: int) -> None:
        if not self._over and len(self._rest) - opened < self._most_bytes:
            return
        line = self._line + line_ends(self._rest[:opened])
        if self._over:
            raise InvalidInputError(
                f"The quoted cell that begins in line {line} is never closed: the body is cut off, "
                "or a quote within the cell is not doubled."
            )
        raise InvalidInputError(
            f"The quoted cell that begins in line {line} is longer than {self._most_bytes} bytes: "
            "its quote is probably never closed."
        )

    def _stop(self, quoted: Quoted) -> int:
        """Returns the offset after the last line end outside of quotes; 0 if there is none."""
        data, stop = self._rest, len(self._rest)
        if self._over:
            return stop
        while (place := max(data.rfind(_LF, 0, stop), data.rfind(_CR, 0, stop))) >= 0:
            opened = quoted.around(place)
            if opened is not None:
                stop = opened
            elif place == len(data) - 1 and data.endswith(_CR):
                stop = place  # its line feed may follow
            else:
                return place + 1
        return 0

    def _end_of_first(self, data: bytes, begin: int) -> int:
        """Returns the offset after the line end of the record that begins at `begin`."""
        quoted = self._quoted.of(data)
        for found in re.finditer(rb"\r\n|\n|\r", data[begin:]):
            if quoted.around(begin + found.start()) is None:
                return begin + found.end()
        return len(data)


class QuotedCells:
    """Finds the quoted cells of a text that begins with a record."""

    def __init__(self, delimiter: str, quote: str) -> None:
        self._quote = quote.encode()
        self._before = np.frombuffer(delimiter.encode() + _LF + _CR, np.uint8)
        q, d = re.escape(self._quote), re.escape(delimiter.encode())
        self._cell = re.compile(rb"(?:(?<=[%b\r\n])|\A)%b[^%b]*+(?:%b%b[^%b]*+)*+(%b?)" % (d, *[q] * 6))

    def of(self, data: bytes) -> Quoted:
        if self._quote not in data:
            return Quoted(_NONE, _NONE)
        return self._in_pairs(data) or self._one_by_one(data)

    def _in_pairs(self, data: bytes) -> Quoted | None:
        """Pairs the quotes, if each opens a cell, closes a cell or is doubled; else returns None."""
        characters = np.frombuffer(data, np.uint8)
        places = np.flatnonzero(characters == self._quote[0])
        opened, closed = places[::2], places[1::2]
        doubled = np.zeros(len(opened), bool)
        doubled[1:] = opened[1:] == closed[: len(opened) - 1] + 1
        before = characters[np.maximum(opened - 1, 0)]
        begins = np.isin(before, self._before) | (opened == 0)
        if not (begins | doubled).all():
            return None
        closes = np.ones(len(closed), bool)
        closes[: len(opened) - 1] = ~doubled[1:]
        return Quoted(opened[~doubled], closed[closes])

    def _one_by_one(self, data: bytes) -> Quoted:
        cells = list(self._cell.finditer(data))
        opened = np.array([cell.start() for cell in cells], np.int64)
        closed = np.array([cell.end() - 1 for cell in cells if cell[1]], np.int64)
        return Quoted(opened, closed)

    def require_ends(self, data: bytes, quoted: Quoted, line: int) -> None:
        """Raises InvalidInputError if a quoted cell of several lines has text after its closing quote.

        Such a quote opens another cell: an earlier quote was never closed, and the lines between are lost.
        """
        closed = quoted.closed[quoted.closed < len(data) - 1]
        behind = np.frombuffer(data, np.uint8)[closed + 1]
        for found in np.flatnonzero(~np.isin(behind, self._before)).tolist():
            opened, end = int(quoted.opened[found]), int(closed[found])
            if ends := line_ends(data[opened:end]):
                first = line + line_ends(data[:opened])
                raise InvalidInputError(
                    f"The quoted cell that begins in line {first} ends in line {first + ends}, where text "
                    "follows its closing quote: a quote is not closed, or not doubled within quotes."
                )


def _places_of_line_ends(characters: NDArray[np.uint8]) -> Places:
    """The last byte of each line end: LF, CR LF, or CR alone."""
    ends = characters == _LF[0]
    returns = characters == _CR[0]
    returns[:-1] &= ~ends[1:]
    return np.flatnonzero(ends | returns)


def line_ends(data: bytes) -> int:
    """Returns the number of line ends in the data: LF, CR LF, or CR alone."""
    alone = data.count(_CR) - data.count(b"\r\n") if _CR in data else 0
    return data.count(_LF) + alone
