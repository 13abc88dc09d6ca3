"""A model from a table alone: a Python model with the table's columns as inputs, to be filled with rules."""

from __future__ import annotations

from collections.abc import Sequence

from shared.output_specs import OutputType, View
from shared.safe_texts import did_you_mean, first_of, named
from worker.models.drafting.artifact_facts import DraftError, DraftFacts, DraftOutput, Feature
from worker.models.drafting.sample_tables import Sample

MODULE = "model.py"
"""The file of the model, which is its artifact."""
SOURCE = '''"""A draft of `takt models new`: replace the count by the rules of the model."""

from pathlib import Path

import numpy as np
import pandas as pd


class Model:
    def load(self, folder: Path) -> None:
        """Called once. `folder` has all files of the version, such as limits.json beside model.toml."""

    def predict(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`columns`: an array for each input of model.toml, by name. Returns an array for each output, by
        name; each has a value for each row."""
        given = [~pd.isna(values) for values in columns.values()]
        return {"inputs_given": np.sum(given, axis=0)}
'''


def table_facts(sample: Sample, given: Sequence[str]) -> DraftFacts:
    """A model whose inputs are the columns of a table, or those of `given`.

    Raises DraftError if the table has no such column.
    """
    missing = [name for name in given if sample.find(name) is None]
    if missing:
        near = did_you_mean(missing[0], sample.columns)
        raise DraftError(
            f"--inputs: the sample has no column {named(missing[0])}.{near} Found: {first_of(sample.columns)}"
        )
    about = "How many inputs of the row have a value: replace this output by those of the model"
    output = DraftOutput("inputs_given", View.VALUE, type=OutputType.INT64, description=about)
    notes = [f"{MODULE} is a draft that counts the inputs of a row: write the rules of the model into it"]
    if not given:
        notes.append("every column of the table is an input: choose some with --inputs a,b,c")
    features = tuple(Feature(name) for name in given or sample.columns)
    return DraftFacts("python", features, (output,), notes=tuple(notes))
