"""Pieces: how a call of many rows is cut, so that its copies and its computing overlap."""

from __future__ import annotations

from itertools import pairwise

PIECE_BYTES = 4 * 2**20
"""Of rows in one piece: enough to keep a device busy for longer than a piece costs to begin."""


def pieces(rows: int, row_bytes: int, most_bytes: int = PIECE_BYTES) -> list[slice]:
    """All rows in order, in pieces of about one size, none larger than `most_bytes` unless one row is.

    One piece where they fit into it; none where there are no rows.
    """
    if not rows:
        return []
    most_rows = max(1, most_bytes // max(1, row_bytes))
    count = -(-rows // most_rows)
    borders = [rows * number // count for number in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(borders)]
