"""Making a model from a trained file in a separate program, `python -m worker new`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from shared.safe_texts import listed
from stack.model_building import ModelLine, ModelProgram, lines_of


class Drafted(ModelLine, frozen=True, kw_only=True):
    """The outcome: made or failed."""

    folder: str = ""
    framework: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    golden_rows: int = 0
    unused: tuple[str, ...] = ()  # columns of the sample
    notes: tuple[str, ...] = ()
    rows_per_s: float = 0.0
    runtime: str = ""

    @property
    def ok(self) -> bool:
        return self.state == "made"

    def as_text(self) -> str:
        return "\n".join(self._lines()) if self.ok else f"failed: {self.reason}"

    def _lines(self) -> Iterator[str]:
        yield f"made and verified in {self.seconds:.1f} s, {self.rows_per_s:,.0f} rows/s ({self.runtime})"
        yield f"  {Path(self.folder) / 'model.toml'}"
        yield f"  {Path(self.folder) / self.version}"
        yield f"  inputs: {listed(self.inputs)}"
        yield f"  outputs: {listed(self.outputs)}"
        if self.classes:
            yield f"  classes: {listed(self.classes)}"
        yield f"  golden rows: {self.golden_rows}, from the model's own answers"
        if self.unused:
            yield f"  columns of the sample that are no input: {listed(self.unused)}"
        yield from (f"  note: {note}" for note in self.notes)
        yield from (f"  warning: {warning}" for warning in self.warnings)


def draft(name: str, options: Sequence[str], program: ModelProgram) -> Drafted:
    """Make a model with the options of `python -m worker new`.

    Raises CommandError if the program fails.
    """
    (line,) = lines_of("new", [name], options, program)
    return msgspec.json.decode(line, type=Drafted)
