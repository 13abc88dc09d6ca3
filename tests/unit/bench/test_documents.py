"""The measured parts of the documents: each has a place on a page, and can be measured by itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from bench import documents, targets
from bench.documents import PARTS, chosen, kept_in, write
from bench.offline_results import BARE, OfflineResults, Passage, Rate
from bench.results import Machine
from bench.stored_runs import BEGIN, END
from tests.support.documents import ROOT

OFFLINE = OfflineResults(
    command="python -m bench.offline",
    began_at="2026-01-02T03:04:05+00:00",
    took_s=60.0,
    machine=Machine(2, "a processor", "Linux 6", 0.5, {"Python": "3.11"}),
    model="iris",
    rounds=1,
    ways=(BARE, "takt arrow"),
    passages=(Passage(0, BARE, 1_000_000, 2.0, {}, {}), Passage(0, "takt arrow", 1_000_000, 2.0, {}, {})),
    rates=(Rate(1, 100.0), Rate(64, 5000.0), Rate(256, 9000.0)),
    runtimes={"walk": (Rate(1, 9000.0),)},
)


def marks(name: str) -> str:
    return f"{BEGIN.format(name)}\n\nnothing\n\n{END}\n"


def names(parts: list[documents.Part]) -> list[str]:
    return [part.name for part in parts]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_each_part_has_its_place_on_a_page(part: documents.Part) -> None:
    page = (ROOT / part.page).read_text(encoding="utf-8")
    assert page.count(BEGIN.format(part.name)) == 1


@pytest.mark.parametrize("page", sorted({part.page for part in PARTS}))
def test_each_place_on_a_page_is_a_parts_or_the_targets(page: str) -> None:
    begin, end = BEGIN.split("{}")
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {piece.partition(end)[0] for piece in text.split(begin)[1:] if end in piece}
    assert named - {targets.AT} == {part.name for part in PARTS if part.page == page}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_each_part_is_a_command_that_there_is(part: documents.Part) -> None:
    module = part.words(tiny=False)[1]
    assert find_spec(module) is not None
    assert part.words(tiny=True)[: len(part.words(tiny=False))] == part.words(tiny=False)


def test_all_parts_take_less_than_an_hour() -> None:
    assert sum(part.minutes for part in PARTS) <= 55


def test_parts_are_measured_by_name_or_all_or_those_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "jobs.json").write_bytes(b"{}")
    kept = kept_in(tmp_path)
    assert names(chosen(None, kept, resume=False, write=False)) == names(list(PARTS))
    assert names(chosen("beside,jobs", kept, resume=False, write=False)) == ["jobs", "beside"]
    assert names(chosen("beside,jobs", kept, resume=True, write=False)) == ["beside"]
    assert chosen(None, kept, resume=False, write=True) == []
    with pytest.raises(ValueError, match="unknown parts \\['weather'\\]"):
        chosen("weather", kept, resume=False, write=False)


def test_what_is_kept_is_written_with_its_plots_and_the_targets(tmp_path: Path) -> None:
    page = tmp_path / documents.MEASUREMENTS
    page.parent.mkdir()
    page.write_text(f"{marks('targets')}{marks('million')}{marks('jobs')}")
    (tmp_path / "million.json").write_bytes(msgspec.json.encode(OFFLINE))
    write(kept_in(tmp_path), tmp_path)
    text = page.read_text()
    assert text.count("nothing") == 1  # of the jobs, which are not kept
    assert "takt arrow" in text
    assert "1,000,000 rows, Arrow, rows/s ÷ in-process" in text
    plot = page.parent / "images" / "benchmarks" / "million-sizes-iris.svg"
    assert f"({plot.relative_to(page.parent)})" in text
    assert ">walk<" in plot.read_text()
    assert [file.name for file in plot.parent.iterdir()] == [plot.name]  # no plot of no points
