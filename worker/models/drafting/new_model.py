"""Makes a model from a trained file: a draft, a version, golden rows. It appears completely or not at all."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from shared.errors import ArtifactError
from shared.keys import split_model_key
from shared.repository import open_repository
from shared.safe_texts import named
from shared.spec_files import load_spec
from shared.specs import NAME, VERSION, GoldenRow, Row
from worker.models.build import Build, copy_lock, write_version
from worker.models.drafting.artifact_facts import DraftError, DraftFacts, class_outputs
from worker.models.drafting.artifacts import facts_of, files_beside, runs_code
from worker.models.drafting.drafted_inputs import DraftInput, DraftInputs, draft_inputs, with_example
from worker.models.drafting.golden_rows import golden_rows
from worker.models.drafting.image_inputs import (
    ImageFiles,
    class_folders,
    is_of_images,
    rows_of_images,
    sample_images,
)
from worker.models.drafting.sample_tables import read_sample
from worker.models.drafting.table_models import MODULE, SOURCE, table_facts
from worker.models.drafting.toml_text import Draft, model_toml
from worker.models.verify import Verification, verify_model
from worker.predictors import open_predictor

Step = Callable[[str], None]
"""Called with what is done next."""


@dataclass(frozen=True)
class Request:
    """A model to make. Empty values are found in the files."""

    name: str
    source: Path | None  # the trained file or folder; None: a Python model over the sample
    sample: Path | None = None
    version: str = "1.0.0"
    inputs: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    code: tuple[Path, ...] = ()  # modules that the trained file refers to
    trusted: tuple[str, ...] = ()  # types in a file of skops
    force: bool = False
    requirements: tuple[str, ...] = ()  # of its environment, in whose interpreter this process runs


@dataclass(frozen=True)
class DraftWorker:
    """How a worker will load the model."""

    device: str
    threads: int
    mismatch: Literal["warn", "refuse"]
    runtime: Literal["auto", "native"]


@dataclass(frozen=True)
class NewModel:
    """A model that was made."""

    folder: Path
    facts: DraftFacts
    inputs: tuple[DraftInput, ...]
    golden: int
    unused: tuple[str, ...]  # columns of the sample
    notes: tuple[str, ...]
    verification: Verification

    def as_line(self) -> dict[str, object]:
        """The fields of its JSON line."""
        return {
            "version": split_model_key(self.verification.key)[1],
            "state": "made",
            "folder": str(self.folder),
            "framework": self.facts.framework,
            "inputs": [one.name for one in self.inputs],
            "outputs": [output.name for output in self.facts.outputs],
            "classes": self.facts.classes,
            "golden_rows": self.golden,
            "unused": self.unused,
            "notes": self.notes,
            "warnings": self.verification.warnings,
            "rows_per_s": self.verification.rows_per_s,
            "runtime": self.verification.runtimes.in_words(),
        }


def new_model(request: Request, models_dir: Path, worker: DraftWorker, step: Step) -> NewModel:
    """Raises DraftError in plain words, ArtifactError or SpecError if the model does not verify."""
    check_request(request, models_dir)
    facts = _facts(request, step)
    drafted = _drafted(facts, request)
    models_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".new-", dir=models_dir) as folder:
        home = Path(folder) / request.name
        step("writing model.toml and the manifest")
        draft = Draft(
            request.name, request.version, _origin(request), facts, drafted.inputs, request.requirements
        )
        _write_files(home, request)
        artifact = request.source.name if request.source else MODULE
        golden = _with_golden_rows(home, artifact, draft, drafted.rows, worker)
        step("verifying: digest, golden rows, a batch of each size")
        verification = _verified(Path(folder), request, worker)
        _put(home, models_dir / request.name)
    return NewModel(
        models_dir / request.name,
        facts,
        drafted.inputs,
        len(golden),
        drafted.unused,
        (*facts.notes, *drafted.notes),
        verification,
    )


def _facts(request: Request, step: Step) -> DraftFacts:
    """Those of the trained file; without one, of the sample."""
    if request.source is None:
        assert request.sample is not None
        if is_of_images(request.sample):
            raise DraftError("--sample: images need a trained file, --from; without it, give a table")
        step(f"reading {request.sample}")
        return table_facts(read_sample(request.sample), request.inputs)
    warning = "; a pickle runs the code in it" if runs_code(request.source) else ""
    step(f"opening {request.source}{warning}")
    with _importable(request.code):
        return _with_classes(facts_of(request.source, request.trusted), request.classes)


def _drafted(facts: DraftFacts, request: Request) -> DraftInputs:
    """The inputs, with rows of the sample: a table, or images."""
    if request.sample is None or not is_of_images(request.sample):
        sample = read_sample(request.sample) if request.sample else facts.rows
        return draft_inputs(facts, sample, request.inputs if request.source else ())
    drafted = draft_inputs(facts, None, request.inputs)
    rows = tuple(rows_of_images(drafted.inputs, sample_images(request.sample)))
    inputs = tuple(with_example(one, rows) for one in drafted.inputs)
    return DraftInputs(inputs, rows, notes=class_folders(request.sample))


def check_request(request: Request, models_dir: Path) -> None:
    """Raises DraftError for a wrong name or version, a missing file, or a model that exists."""
    if not re.fullmatch(NAME, request.name):
        raise DraftError(
            f"{named(request.name)} cannot be the name of a model: it is part of a URL, so use small "
            "letters, digits, - and _, beginning with a letter"
        )
    if not re.fullmatch(VERSION, request.version):
        raise DraftError(f"--version: {named(request.version)} is not a semantic version, such as 1.0.0")
    if request.source is None and (request.sample is None or request.classes):
        raise DraftError(
            "give the trained file with --from; a table alone, with --sample, makes a Python model"
        )
    for flag, path in (("--from", request.source), *(("--code", path) for path in request.code)):
        if path and not path.exists():
            raise DraftError(f"{flag}: there is no file {path}")
    if (models_dir / request.name).exists() and not request.force:
        raise DraftError(
            f"{models_dir / request.name} exists: choose another name, or replace it with --force"
        )


def _with_classes(facts: DraftFacts, classes: tuple[str, ...]) -> DraftFacts:
    if not classes and facts.may_classify:
        note = f"if the {facts.may_classify} values are classes, name them with --classes"
        return replace(facts, notes=(*facts.notes, note))
    if not classes:
        return facts
    if facts.may_classify == len(classes):
        options = {"activation": facts.activation} if facts.activation != "none" else {}
        outputs = class_outputs(probabilities=True)
        return replace(facts, classes=classes, outputs=outputs, options=options)
    if not facts.classes:
        scores = f"; its answer has {facts.may_classify} values" if facts.may_classify else ""
        raise DraftError(f"--classes: the model predicts no {len(classes)} classes{scores}")
    if len(classes) != len(facts.classes):
        raise DraftError(
            f"--classes: has {len(classes)} names, but the model has {len(facts.classes)} classes: "
            f"{', '.join(facts.classes)}"
        )
    return replace(facts, classes=classes)


def _origin(request: Request) -> str:
    return " and ".join(path.name for path in (request.source, request.sample) if path)


def _write_files(home: Path, request: Request) -> None:
    """Copy the trained file and its modules; a version has its own copy of the modules beside model.toml."""
    folder = home / request.version
    folder.mkdir(parents=True)
    if request.source is None:
        (home / MODULE).write_text(SOURCE, encoding="utf-8")
        shutil.copyfile(home / MODULE, folder / MODULE)
    elif request.source.is_dir():
        shutil.copytree(request.source, folder / request.source.name)
    else:
        for path in (request.source, *files_beside(request.source)):
            shutil.copyfile(path, folder / path.name)
    copy_lock(folder)
    for path in request.code:
        shutil.copyfile(path, home / path.name)
        shutil.copyfile(path, folder / path.name)


def _with_golden_rows(
    home: Path, artifact: str, draft: Draft, rows: Sequence[Row], worker: DraftWorker
) -> list[GoldenRow]:
    """Write model.toml and the manifest, then the golden rows: the answers of the model as written."""
    path, images = home / "model.toml", ImageFiles(home)
    draft = replace(draft, inputs=tuple(map(images.of_input, draft.inputs)))
    path.write_text(model_toml(draft, []), encoding="utf-8")
    version = write_version(load_spec(path), draft.version, home / draft.version, Build(artifact))
    with _without_path(home):
        predictor = open_predictor(
            version, device=worker.device, threads=worker.threads, mismatch=worker.mismatch
        )
    golden = golden_rows(predictor, rows, draft.facts.tolerance)
    known = [row.inputs for row in golden]
    inputs = tuple(images.of_input(with_example(one, known)) for one in draft.inputs)
    shown = [images.of_golden(row) for row in golden]
    path.write_text(model_toml(replace(draft, inputs=inputs), shown), encoding="utf-8")
    return golden


def _verified(root: Path, request: Request, worker: DraftWorker) -> Verification:
    """Raises DraftError if the model does not verify."""
    verification = verify_model(
        open_repository(root),
        request.name,
        request.version,
        device=worker.device,
        threads=worker.threads,
        mismatch=worker.mismatch,
        runtime=worker.runtime,
    )
    if verification.problem:
        problem = verification.problem.replace(f"{root / request.name / request.version}/", "")
        raise DraftError(f"the model does not verify: {problem}")
    return verification


@contextmanager
def _without_path(home: Path) -> Iterator[None]:
    """Errors of the block name files without the temporary folder of the version."""
    try:
        yield
    except ArtifactError as error:
        folders = "|".join(re.escape(f"{path}/") for path in home.iterdir() if path.is_dir())
        raise DraftError(re.sub(folders, "", error.detail)) from error


@contextmanager
def _importable(modules: Sequence[Path]) -> Iterator[None]:
    """Within the block, modules are found by the names that the training script used."""
    before, written = list(sys.path), sys.dont_write_bytecode
    sys.path[:0] = [str(path.resolve().parent) for path in modules]
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = before, written


def _put(home: Path, target: Path) -> None:
    """Rename the finished folder to its place; what was there is removed."""
    if target.exists():
        old = target.rename(home.with_name(f"{home.name}.old"))
        home.rename(target)
        shutil.rmtree(old)
    else:
        home.rename(target)
