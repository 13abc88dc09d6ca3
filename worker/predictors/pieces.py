"""Cuts a call of many rows into pieces, so that copying and computing overlap."""

from __future__ import annotations

from itertools import pairwise

PIECE_BYTES = 4 * 2**20
"""Bytes of rows in one piece: enough that computing a piece takes longer than starting it."""


def pieces(rows: int, row_bytes: int, most_bytes: int = PIECE_BYTES) -> list[slice]:
    """All rows in order, in pieces of similar size, none larger than `most_bytes` unless a single row is.

    A single piece if all rows fit into it; none if there are no rows.
    """
    if not rows:
        return []
    most_rows = max(1, most_bytes // max(1, row_bytes))
    count = -(-rows // most_rows)
    borders = [rows * number // count for number in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(borders)]
