"""Which faults and jobs a run of the chaos suite has."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

from takt.formats import Format
from tests.chaos.orders import body, orders
from tests.chaos.plan import ROUND, Fault, Kind, faults
from tests.chaos.running import Terms
from tests.chaos.terrain import Pool
from tests.unit.chaos.chaos_specimens import pool


def some(seed: int, count: int) -> list[Fault]:
    return list(islice(faults(seed, workers=2, gateways=3), count))


def test_the_same_seed_is_the_same_run() -> None:
    assert some(7, 50) == some(7, 50)
    assert some(7, 50) != some(8, 50)
    assert list(islice(orders(7, "a", 100), 9)) == list(islice(orders(7, "a", 100), 9))


def test_every_round_has_every_kind_of_fault() -> None:
    first, second = some(1, len(ROUND)), some(1, 2 * len(ROUND))[len(ROUND) :]
    assert Counter(fault.kind for fault in first) == Counter(fault.kind for fault in second) == Counter(ROUND)
    assert set(ROUND) == set(Kind)


def test_every_victim_has_its_turn_and_none_is_out_of_reach() -> None:
    met = {(fault.kind.split()[0], fault.victim) for fault in some(1, 500)}
    one_of = {("worker", 0), ("worker", 1), ("gateway", 0), ("gateway", 1), ("gateway", 2), ("Redis", 0)}
    inside = {(part, number) for part in ("fork-server", "supervisor", "machine") for number in (0, 1)}
    assert met == one_of | inside | {("all", 0), ("coordinator", 0)}


def test_two_rounds_meet_each_kind_at_least_twice() -> None:
    assert min(Counter(fault.kind for fault in some(3, 2 * len(ROUND))).values()) >= 2


def test_a_run_goes_on_until_it_was_long_enough_and_had_its_faults_but_not_for_ever() -> None:
    terms = Terms(seed=1, minutes=10, least_faults=30)
    assert terms.goes_on(599, 99)
    assert terms.goes_on(601, 29)
    assert not terms.goes_on(601, 30)
    assert not terms.goes_on(901, 29)


def test_orders_have_every_format_and_keys_of_their_own() -> None:
    made = list(islice(orders(7, "a", 100), 300))
    assert {order.format for order in made} == set(Format)
    assert len({order.key for order in made}) == 300
    assert min(order.rows for order in made) >= 1


def test_the_rows_of_an_order_are_those_of_the_pool_from_its_first_on_and_around_its_end() -> None:
    assert pool(5).span(3, 4).tolist() == [3, 4, 0, 1]


def test_an_order_is_sent_as_its_format_says() -> None:
    known: Pool = pool(100)
    one_each = {order.format: replace(order, rows=9) for order in islice(orders(7, "a", 100), 300)}
    sent = {kind: body(order, known) for kind, order in one_each.items()}
    assert isinstance(sent[Format.JSON], list)
    assert bytes(sent[Format.PARQUET])[:4] == b"PAR1"  # type: ignore[arg-type]  # files are bytes
    assert bytes(sent[Format.CSV]).startswith(b'"place","a","b","c","d"\n0,')  # type: ignore[arg-type]
    assert bytes(sent[Format.NDJSON]).startswith(b'{"place": 0, "a": 0.')  # type: ignore[arg-type]
