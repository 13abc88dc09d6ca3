"""`takt predict`: rows now, answers now."""

from __future__ import annotations

from typing import Annotated

import typer

from takt.commands.inputs import read_inputs
from takt.commands.voice import DEFAULT_URL, Url, as_json, in_words


@in_words
def predict(
    rows: Annotated[
        str,
        typer.Argument(metavar="ROWS", help="JSON: a row or a list of rows; or a file of it; - for stdin."),
    ] = "-",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The model. (default: the service's)")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Its version. (default: the model's)")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Predict a row, or some, and wait for the answer: a JSON document a line."""
    from takt.client import Takt

    inputs = read_inputs(rows)
    with Takt(url) as takt:
        if isinstance(inputs, dict):
            answers = [takt.predict(inputs, model=model, version=version)]
        else:
            answers = takt.predict_batch(inputs, model=model, version=version)
    for answer in answers:
        typer.echo(as_json(answer))
