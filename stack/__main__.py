"""`python -m stack`: the commands that need only the queue.

Use it if the `takt` program is not installed, as in the gateway's image:

    python -m stack keys create NAME
"""

from __future__ import annotations

import typer

from stack.queue_cli import dead_letters, keys, workers

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(keys, name="keys")
app.add_typer(workers, name="workers")
app.add_typer(dead_letters, name="dead-letters")

if __name__ == "__main__":
    app()
