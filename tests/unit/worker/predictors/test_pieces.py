"""A large call is cut without loss at the borders, and a small call is not cut."""

from __future__ import annotations

import pytest

from worker.predictors.pieces import pieces


@pytest.mark.parametrize("rows", [1, 9, 10, 11, 19, 20, 21, 1000])
def test_pieces_hold_all_rows_once_and_in_order_and_none_is_too_large(rows: int) -> None:
    cut = pieces(rows, row_bytes=10, most_bytes=100)
    assert [row for piece in cut for row in range(rows)[piece]] == list(range(rows))
    assert max(piece.stop - piece.start for piece in cut) <= 10


def test_no_piece_is_much_smaller_than_another() -> None:
    sizes = [piece.stop - piece.start for piece in pieces(21, row_bytes=10, most_bytes=100)]
    assert sizes == [7, 7, 7]


def test_what_fits_is_one_piece() -> None:
    assert pieces(10, row_bytes=10, most_bytes=100) == [slice(0, 10)]


def test_a_row_that_is_larger_than_a_piece_is_a_piece() -> None:
    assert pieces(2, row_bytes=1000, most_bytes=100) == [slice(0, 1), slice(1, 2)]


def test_no_rows_are_no_pieces() -> None:
    assert pieces(0, row_bytes=10) == []
