"""The table of the cost of durability."""

from __future__ import annotations

from bench.durability import MODES, Measured, table


def test_ratios_are_of_rounds_that_ran_in_sequence() -> None:
    found = {mode: Measured([], []) for mode in MODES}
    for mode, slowness in zip(MODES, (1.0, 1.25, 2.0), strict=True):
        found[mode].large_s.extend(load * slowness for load in (1.0, 8.0, 2.0))  # the machine's load varies
        found[mode].small_s.extend(load * slowness for load in (1.0, 4.0, 2.0))
    _, _, *lines = table(found, rows=1000, small=100).splitlines()
    assert lines == [
        "| unsynced | 500 | 1.00 | 20.00 | 1.00 |",
        "| memory | 400 | 0.80 | 25.00 | 1.25 |",
        "| disk | 250 | 0.50 | 40.00 | 2.00 |",
    ]


def test_a_mode_is_without_any_sync_and_the_others_are_values_of_the_setting() -> None:
    assert MODES["unsynced"] == {"TAKT_FSYNC_PAYLOADS": "false"}
    assert MODES["memory"] == {}
    assert MODES["disk"] == {"TAKT_DURABILITY": "disk"}
