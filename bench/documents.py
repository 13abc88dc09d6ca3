"""`python -m bench.documents`: measure all figures of the documents, part by part, and update the pages.

Each part is a bench command whose run is stored as JSON in a folder. `--only jobs,beside` runs only those
parts, `--resume` runs the parts without a stored run, and `--write` only updates the pages from stored runs.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import stored_runs, targets
from bench.commands import ended, say
from bench.subjects import ROOT

KEPT = stored_runs.RESULTS / "documents"
MEASUREMENTS, NOTEBOOK = "bench/measurements.md", "bench/notebook.md"
"""Pages by path in the repository."""


@dataclass(frozen=True)
class Part:
    """A run, and the page that shows it between marks with the part's name."""

    name: str
    command: str  # a module and its options
    page: str
    minutes: float  # approximate, on two idle cores
    tiny: str  # options for the shortest possible run: a smoke test

    def words(self, *, tiny: bool) -> list[str]:
        """The command line; the options of a tiny run come last and take precedence."""
        return ["-m", *shlex.split(f"{self.command} {self.tiny}" if tiny else self.command)]


_SHORT = "--rounds 1 --seconds 0.5"
_NATIVE = "guide,celery_tasks,litserve,bentoml,mosec,takt_native,takt_keys,takt"

PARTS = (
    Part("iris", f"bench --models iris --seconds 1 --rivals {_NATIVE}", MEASUREMENTS, 7, _SHORT),
    Part(
        "classifier",
        "bench --models classifier --seconds 1 --rivals guide,litserve,mosec,takt",
        MEASUREMENTS,
        3,
        _SHORT,
    ),
    Part(
        "more",
        "bench --models iris --seconds 1 --rounds 3 --rivals mlserver,ray_serve,takt",
        MEASUREMENTS,
        2.5,
        f"{_SHORT} --rivals takt",
    ),
    Part(
        "heavy",
        "bench --models heavy --seconds 1 --rounds 2 --connections 1,16,64 --rates 50,150,300 "
        "--rivals guide,mosec,takt",
        MEASUREMENTS,
        3.5,
        f"{_SHORT} --connections 1,8,16 --rates 5,10,20 --rivals guide,takt",
    ),
    Part(
        "jobs",
        "bench.jobs --jobs 2000 --rival-jobs 100 --rivals ray_tasks,celery_tasks",
        MEASUREMENTS,
        2,
        "--jobs 50 --rival-jobs 20 --rounds 1 --rivals celery_tasks",
    ),
    Part(
        "million",
        "bench.offline --rows 1000000",
        MEASUREMENTS,
        3.5,
        "--rows 20000 --rival-rows 2000 --rounds 1 --rivals mosec",
    ),
    Part(
        "ten_million",
        "bench.offline --rows 10000000 --rivals '' --formats arrow,parquet --sizes ''",
        MEASUREMENTS,
        4.5,
        "--rows 20000 --rounds 1",
    ),
    Part("beside", "bench.beside", MEASUREMENTS, 3, "--rounds 1 --seconds 1 --rows 10000000"),
    Part(
        "beside_native",
        "bench.beside --runtime native",
        MEASUREMENTS,
        2.5,
        "--rounds 1 --seconds 1 --rows 10000000",
    ),
    Part("stages", "bench.stages --models iris", NOTEBOOK, 1.5, "--rounds 1 --connections 1,8"),
    Part("fronts", "bench.studies.fronts", NOTEBOOK, 2, f"{_SHORT} --fronts takt,asgi"),
    Part("kernels", "bench.kernels", NOTEBOOK, 1, "--rounds 1 --models iris --sizes 1,64"),
    Part(
        "tuning", "bench.studies.tuning", NOTEBOOK, 3, f"{_SHORT} --rows 20000 --settings as_it_is,gc_thawed"
    ),
    Part("costs", "bench.costs --seconds 2", MEASUREMENTS, 2, f"{_SHORT} --rows 20000 --connections 1,8"),
    Part("simulation", "bench.simulation", MEASUREMENTS, 3, "--seconds 1.5 --scaled 1,2"),
)


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    return ended("bench.documents", lambda: _publish(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.documents",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ",".join(part.name for part in PARTS)
    parser.add_argument("--only", help=f"a,b of {names}")
    parser.add_argument("--resume", action="store_true", help="skip parts that have a stored run")
    parser.add_argument("--write", action="store_true", help="only write pages from stored runs")
    parser.add_argument("--tiny", action="store_true", help="smoke test; the figures are meaningless")
    parser.add_argument("--kept", type=Path, default=KEPT, help="folder with one JSON file for each part")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder that contains docs/ and bench/")
    return parser


def chosen(only: str | None, kept: Mapping[str, Path], *, resume: bool, write: bool) -> list[Part]:
    """The parts to measure, in order. Raises ValueError for an unknown name."""
    named = only.split(",") if only else [part.name for part in PARTS]
    if unknown := set(named) - {part.name for part in PARTS}:
        raise ValueError(f"unknown parts {sorted(unknown)}; available: {[part.name for part in PARTS]}")
    return [part for part in PARTS if part.name in named and not write and not (resume and part.name in kept)]


def kept_in(folder: Path) -> dict[str, Path]:
    """The runs stored in a folder, by part, in the order of the parts."""
    files = {part.name: folder / f"{part.name}.json" for part in PARTS}
    return {name: file for name, file in files.items() if file.exists()}


def _publish(given: argparse.Namespace) -> None:
    """Raises ValueError if a part failed, after all others are written."""
    given.kept.mkdir(parents=True, exist_ok=True)
    parts = chosen(given.only, kept_in(given.kept), resume=given.resume, write=given.write)
    say(f"{len(parts)} parts, about {sum(part.minutes for part in parts):.0f} minutes")
    failed = [part.name for part in parts if not _measured(part, given)]
    write(kept_in(given.kept), given.root)
    if failed:
        raise ValueError(f"these parts failed, and their pages show the previous run: {', '.join(failed)}")


def _measured(part: Part, given: argparse.Namespace) -> bool:
    """Run a part. Its JSON replaces the previous JSON only if the part succeeds."""
    fresh, begun_s = given.kept / f"{part.name}.fresh", time.monotonic()
    say(f"\n== {part.name}: {part.command}")
    command = [sys.executable, *part.words(tiny=given.tiny), "--json", str(fresh)]
    code = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode
    say(f"== {part.name}: {'done' if code == 0 else f'FAILED ({code})'}, {time.monotonic() - begun_s:.0f} s")
    if code == 0:
        fresh.rename(given.kept / f"{part.name}.json")
    return code == 0


def write(kept: Mapping[str, Path], root: Path) -> None:
    """Write every stored run to its page, and the targets with their verdicts."""
    runs = {name: stored_runs.decoded(file.read_bytes()) for name, file in kept.items()}
    for part in PARTS:
        if part.name in runs:
            stored_runs.place([runs[part.name]], root / part.page, part.name)
    page = root / MEASUREMENTS
    page.write_text(
        stored_runs.replaced(page.read_text(), targets.targets_table(list(runs.values())), targets.AT)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
