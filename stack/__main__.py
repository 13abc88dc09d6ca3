"""`python -m stack`: the commands that need only the queue, or a gateway.

Use it if the `takt` program is not installed, as in the gateway's image:

    python -m stack keys create NAME
"""

from __future__ import annotations

import typer

from stack.operator_cli import dead_letters, keys, settings, storage, versions, workers

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(keys, name="keys")
app.add_typer(workers, name="workers")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(storage, name="storage")
app.command("settings")(settings)
app.command("versions")(versions)

if __name__ == "__main__":
    app()
