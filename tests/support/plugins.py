"""A package that adds a framework, installed into a folder of its own."""

from __future__ import annotations

from pathlib import Path

DECLARATION = """
from pydantic import Field
from shared.frameworks import Framework, Library, Options


class LookupOptions(Options):
    default: float = Field(0.0, ge=-1)


framework = Framework(
    name="lookup",
    implementation="takt_lookup.opening",
    libraries=(Library("takt_lookup", "takt-lookup"),),
    install="takt-lookup",
    artifacts=(".csv",),
    options=LookupOptions,
)
"""
IMPLEMENTATION = """
import numpy as np
from worker.predictors.implementation import MadeBy


def load(spec, files, device, threads):
    lines = files.artifact.read_text().splitlines()
    table = {float(key): float(value) for key, value in (line.split(",") for line in lines)}
    (name,) = spec.input_names
    return lambda columns: np.array([table.get(x, spec.options.default) for x in columns[name].tolist()])


def made_by(artifact):
    return MadeBy({"takt-lookup": "1.2"})
"""


def install_plugin(site: Path, *, distribution: str = "takt-lookup", declaration: str = DECLARATION) -> None:
    """As pip would: the modules, and metadata with the entry point."""
    package = site / "takt_lookup"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(declaration, encoding="utf-8")
    (package / "opening.py").write_text(IMPLEMENTATION, encoding="utf-8")
    info = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    entry = "[takt.frameworks]\nlookup = takt_lookup:framework\n"
    (info / "entry_points.txt").write_text(entry, encoding="utf-8")
