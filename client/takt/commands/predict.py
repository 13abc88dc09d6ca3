"""`takt predict`: online predictions."""

from __future__ import annotations

from typing import Annotated

import typer

from takt.commands.inputs import read_inputs
from takt.commands.terminal import DEFAULT_URL, Url, as_json, reports_errors


@reports_errors
def predict(
    rows: Annotated[
        str,
        typer.Argument(
            metavar="ROWS",
            help="A row or a list of rows: JSON text or a JSON file; -: stdin; or an image file.",
        ),
    ] = "-",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The model. (default: the service's default)")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="The model's version. (default: the model's default)")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Predict rows and print a JSON document per row."""
    from takt.client import Takt

    inputs = read_inputs(rows)
    with Takt(url) as takt:
        if isinstance(inputs, dict | bytes):
            answers = [takt.predict(inputs, model=model, version=version)]
        else:
            answers = takt.predict_batch(inputs, model=model, version=version)
    for answer in answers:
        typer.echo(as_json(answer))
